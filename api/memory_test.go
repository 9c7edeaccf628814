package api_test

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/dora"
)

// memory is a Backend that gives fixed answers, remembers what it was asked,
// fails when told to, and publishes the events that it is given.
type memory struct {
	mu      sync.Mutex
	asked   any
	failure error
	output  string
	events  []api.StoredEvent
	changed chan struct{} // closed at the next change
	watches int           // under way
}

func newMemory() *memory { return &memory{output: "ready\n", changed: make(chan struct{})} }

// take remembers the question and returns the failure that was ordered.
func (m *memory) take(question any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = question
	return m.failure
}

func (m *memory) lastAsked() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = err
}

// publish stores an event with the next number.
func (m *memory) publish(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		e := filled[fairway.Event]()
		e.Reason = "a <b> & c"
		m.events = append(m.events, api.StoredEvent{Seq: uint64(len(m.events) + 1), Event: e})
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) watching() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.watches
}

// given answers with a value whose every field is set.
func given[T any](m *memory, question any) (T, error) {
	if err := m.take(question); err != nil {
		var none T
		return none, err
	}
	return filled[T](), nil
}

func (m *memory) CreateProject(_ context.Context, r api.CreateProject) (api.Project, error) {
	return given[api.Project](m, r)
}
func (m *memory) UpdateProject(_ context.Context, r api.UpdateProject) (api.ProjectUpdate, error) {
	return given[api.ProjectUpdate](m, r)
}
func (m *memory) Commits(_ context.Context, f api.CommitFilter) (api.CommitPage, error) {
	return given[api.CommitPage](m, f)
}
func (m *memory) Dora(_ context.Context, f api.DoraFilter) (dora.Figures, error) {
	return given[dora.Figures](m, f)
}
func (m *memory) System(context.Context) (api.System, error) { return given[api.System](m, nil) }
func (m *memory) UpdateService(_ context.Context, r api.UpdateService) (api.ServiceUpdate, error) {
	return given[api.ServiceUpdate](m, r)
}
func (m *memory) Backup(_ context.Context, _ bool, w io.Writer) error {
	_, err := io.WriteString(w, "backup")
	return err
}
func (m *memory) Subscriptions(context.Context) ([]fairway.SubscriptionState, error) {
	return given[[]fairway.SubscriptionState](m, nil)
}
func (m *memory) AddSubscription(_ context.Context, s fairway.Subscription) (api.SubscriptionAdded, error) {
	return given[api.SubscriptionAdded](m, s)
}
func (m *memory) RemoveSubscription(_ context.Context, id fairway.SubscriptionID) (fairway.Subscription, error) {
	return given[fairway.Subscription](m, id)
}
func (m *memory) RotateSubscription(_ context.Context, id fairway.SubscriptionID) (api.SubscriptionAdded, error) {
	return given[api.SubscriptionAdded](m, id)
}
func (m *memory) TestSubscription(_ context.Context, id fairway.SubscriptionID) (fairway.SubscriptionState, error) {
	return given[fairway.SubscriptionState](m, id)
}
func (m *memory) ReplaySubscription(_ context.Context, r api.ReplaySubscription) (fairway.SubscriptionState, error) {
	return given[fairway.SubscriptionState](m, r)
}
func (m *memory) Projects(context.Context) ([]api.Project, error) {
	return given[[]api.Project](m, nil)
}
func (m *memory) Project(_ context.Context, p fairway.ProjectName) (api.Project, error) {
	return given[api.Project](m, p)
}
func (m *memory) OnboardService(_ context.Context, r api.OnboardService) (api.Onboarded, error) {
	return given[api.Onboarded](m, r)
}
func (m *memory) AddResources(_ context.Context, r api.AddResources) (api.Added, error) {
	return given[api.Added](m, r)
}
func (m *memory) SendArtifact(_ context.Context, r api.SendArtifact) (api.Accepted, error) {
	return given[api.Accepted](m, r)
}
func (m *memory) SendEvents(_ context.Context, es []fairway.Event) ([]api.Accepted, error) {
	return given[[]api.Accepted](m, es)
}
func (m *memory) Command(_ context.Context, r api.Command) (fairway.Delivery, error) {
	return given[fairway.Delivery](m, r)
}
func (m *memory) Retry(_ context.Context, r api.RetryRequest) (api.Accepted, error) {
	return given[api.Accepted](m, r)
}
func (m *memory) RollbackService(_ context.Context, r api.Rollback) (api.Accepted, error) {
	return given[api.Accepted](m, r)
}
func (m *memory) Delete(_ context.Context, r api.Delete) (api.Deletion, error) {
	return given[api.Deletion](m, r)
}
func (m *memory) ConfigureUpstream(_ context.Context, r api.ConfigureUpstream) (fairway.UpstreamState, error) {
	return given[fairway.UpstreamState](m, r)
}
func (m *memory) RemoveUpstream(_ context.Context, p fairway.ProjectName) (api.Project, error) {
	return given[api.Project](m, p)
}
func (m *memory) SyncUpstream(_ context.Context, r api.SyncUpstream) (fairway.UpstreamState, error) {
	return given[fairway.UpstreamState](m, r)
}
func (m *memory) SetRoute(_ context.Context, r api.SetRoute) (api.RouteState, error) {
	return given[api.RouteState](m, r)
}
func (m *memory) Services(_ context.Context, p fairway.ProjectName) ([]fairway.ServiceView, error) {
	return given[[]fairway.ServiceView](m, p)
}
func (m *memory) Resources(_ context.Context, p fairway.ProjectName, s fairway.ServiceName) ([]api.StageResources, error) {
	return given[[]api.StageResources](m, []any{p, s})
}
func (m *memory) ServicePage(_ context.Context, f api.ServiceFilter) (api.ServicePage, error) {
	return given[api.ServicePage](m, f)
}
func (m *memory) Board(_ context.Context, f api.BoardFilter) (api.Board, error) {
	return given[api.Board](m, f)
}
func (m *memory) CommitDiff(_ context.Context, p fairway.ProjectName, commit string) (api.CommitDiff, error) {
	return given[api.CommitDiff](m, []any{p, commit})
}
func (m *memory) Deliveries(_ context.Context, f api.DeliveryFilter) ([]fairway.Delivery, error) {
	return given[[]fairway.Delivery](m, f)
}
func (m *memory) Delivery(_ context.Context, id string) (fairway.Delivery, error) {
	return given[fairway.Delivery](m, id)
}
func (m *memory) DeliveryEvents(_ context.Context, id string) ([]fairway.Event, error) {
	return given[[]fairway.Event](m, id)
}
func (m *memory) Evaluation(_ context.Context, id string) (fairway.Evaluation, error) {
	e, err := given[fairway.Evaluation](m, id)
	if err == nil {
		e.IndicatorResults[0].Samples = []fairway.Sample{
			fairway.NewSample("a", when, 0.1), fairway.NewSample("b", when, math.Inf(1)), fairway.NewSample("c", when, 1e21),
		}
		e.IndicatorResults[1].Samples = nil
	}
	return e, err
}
func (m *memory) Evaluations(_ context.Context, f fairway.EvaluationFilter) (fairway.EvaluationPage, error) {
	return given[fairway.EvaluationPage](m, f)
}
func (m *memory) InvalidateEvaluation(_ context.Context, r api.InvalidateEvaluation) (fairway.Evaluation, error) {
	e, err := given[fairway.Evaluation](m, r)
	if err == nil {
		e.IndicatorResults = nil
	}
	return e, err
}
func (m *memory) TestReport(_ context.Context, id string) (fairway.TestReport, error) {
	return given[fairway.TestReport](m, id)
}
func (m *memory) Registries(_ context.Context, p fairway.ProjectName) ([]api.Registry, error) {
	return given[[]api.Registry](m, p)
}
func (m *memory) AddRegistry(_ context.Context, r api.AddRegistry) (api.Registry, error) {
	return given[api.Registry](m, r)
}
func (m *memory) RemoveRegistry(_ context.Context, n api.RegistryName) (api.Registry, error) {
	return given[api.Registry](m, n)
}
func (m *memory) CheckRegistry(_ context.Context, n api.RegistryName) ([]fairway.Checked, error) {
	return given[[]fairway.Checked](m, n)
}
func (m *memory) Monitoring(_ context.Context, p fairway.ProjectName) ([]api.Monitoring, error) {
	return given[[]api.Monitoring](m, p)
}
func (m *memory) ConfigureMonitoring(_ context.Context, c fairway.Connection) (api.Monitoring, error) {
	return given[api.Monitoring](m, c)
}
func (m *memory) RemoveMonitoring(_ context.Context, n api.MonitoringName) (api.Monitoring, error) {
	return given[api.Monitoring](m, n)
}
func (m *memory) InstallMonitoring(_ context.Context, r api.InstallMonitoring) (api.Installed, error) {
	return given[api.Installed](m, r)
}
func (m *memory) CheckMonitoring(_ context.Context, n api.MonitoringName) ([]fairway.Checked, error) {
	return given[[]fairway.Checked](m, n)
}
func (m *memory) Targets(context.Context) ([]api.TargetState, error) {
	return given[[]api.TargetState](m, nil)
}
func (m *memory) Routes(context.Context) ([]api.RouteState, error) {
	return given[[]api.RouteState](m, nil)
}
func (m *memory) Checks(context.Context) ([]api.Finding, error) { return given[[]api.Finding](m, nil) }
func (m *memory) Status(context.Context) (api.Status, error)    { return given[api.Status](m, nil) }

func (m *memory) Events(_ context.Context, f api.EventFilter) ([]api.StoredEvent, error) {
	if err := m.take(f); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.events[min(int(f.After), len(m.events)):]
	if f.Before > 0 {
		found = found[:min(int(f.Before)-1, len(found))]
	}
	switch {
	case f.Limit == 0 || len(found) <= f.Limit:
	case f.After > 0:
		found = found[:f.Limit]
	default:
		found = found[len(found)-f.Limit:]
	}
	return append([]api.StoredEvent(nil), found...), nil
}

func (m *memory) Logs(ctx context.Context, id string, w io.Writer, follow bool) error {
	if err := m.take([]any{id, follow}); err != nil {
		return err
	}
	if _, err := io.WriteString(w, m.output); err != nil {
		return err
	}
	if follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (m *memory) Watch(ctx context.Context, f func(api.Change) error) error {
	if err := m.take(nil); err != nil {
		return err
	}
	m.mu.Lock()
	m.watches++
	seen, changed := len(m.events), m.changed
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.watches--
	}()
	c := api.Change{Progress: filled[[]api.Progress]()}
	for {
		if err := f(c); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		m.mu.Lock()
		c = api.Change{Events: append([]api.StoredEvent(nil), m.events[seen:]...)}
		seen, changed = len(m.events), m.changed
		m.mu.Unlock()
	}
}

var when = time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.UTC)

// filled returns a value in which every field is set, so that a round trip
// cannot lose one unseen.
func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem())
	return v
}

func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(when))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(`{"tag":"1e3","html":"<&>"}`)))
		return
	case fairway.Weights:
		v.Set(reflect.ValueOf(fairway.Weights{fairway.Single: 100, fairway.Green: 0}))
		return
	case fairway.Colour:
		v.Set(reflect.ValueOf(fairway.Green))
		return
	case fairway.Sample:
		v.Set(reflect.ValueOf(fairway.NewSample("k", when, 0.25)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("täxt \"<&>\"\n")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(1 << 60)
	case reflect.Uint8:
		v.SetUint(200)
	case reflect.Float64:
		v.SetFloat(0.1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	default:
		panic("cannot fill " + v.Type().String())
	}
}

// until polls for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// buffer is output that can be read while it grows.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
