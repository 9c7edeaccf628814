package api_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
	"github.com/fairwaycd/fairway/dora"
)

// backends are the Backend itself and the same one through server and client.
var backends = map[string]func(*testing.T, *memory) api.Backend{
	"direct": func(_ *testing.T, m *memory) api.Backend { return m },
	"client": func(t *testing.T, m *memory) api.Backend {
		s := httptest.NewServer(checked(t, api.NewServer(m, api.ServerOptions{ReadEvents: cloudevents.Read})))
		t.Cleanup(s.Close)
		return api.NewClient(api.ClientOptions{URL: s.URL + "/", Token: "secret", Version: "test", HTTP: s.Client()})
	},
}

// method is one method of a Backend, its question and its answer.
type method struct {
	name   string
	call   func(context.Context, api.Backend) (any, error)
	asked  any // what the Backend has to see
	answer any
	served any // what it has to see through a server, when that is not the same
}

// through says what the Backend sees through a server.
func (m method) through(served any) method {
	m.served = served
	return m
}

func of[T any](name string, asked any, call func(context.Context, api.Backend) (T, error)) method {
	return method{name, func(ctx context.Context, b api.Backend) (any, error) {
		v, err := call(ctx, b)
		return v, err
	}, asked, filled[T](), asked}
}

// odd is an identifier that a path can carry only if it is escaped.
const odd = "a/b?c#d %2F..ü"

func methods() []method {
	var (
		create   = filled[api.CreateProject]()
		onboard  = filled[api.OnboardService]()
		add      = filled[api.AddResources]()
		artifact = filled[api.SendArtifact]()
		command  = filled[api.Command]()
		retry    = filled[api.RetryRequest]()
		rollback = filled[api.Rollback]()
		route    = filled[api.SetRoute]()
		remove   = filled[api.Delete]()
		upstream = filled[api.ConfigureUpstream]()
		sync     = filled[api.SyncUpstream]()
		ds       = filled[api.DeliveryFilter]()
		services = filled[api.ServiceFilter]()
		event    = fairway.Event{SpecVersion: "1.0", ID: "1", Source: "/ci", Type: "any.type", Time: when, Subject: "s", Context: "c", Reason: "since <it> was", Data: []byte(`{"a":"<"}`), ContentType: "application/json"}
	)
	ds.Status = fairway.StatusRejected
	board := filled[api.BoardFilter]()
	board.State = api.BoardMoving
	evaluation := of("Evaluation", odd, func(ctx context.Context, b api.Backend) (fairway.Evaluation, error) { return b.Evaluation(ctx, odd) })
	evaluation.answer, _ = newMemory().Evaluation(context.Background(), odd)
	page := filled[fairway.EvaluationFilter]()
	page.Verdict = fairway.VerdictFail
	invalidate := filled[api.InvalidateEvaluation]()
	invalidated := of("InvalidateEvaluation", invalidate, func(ctx context.Context, b api.Backend) (fairway.Evaluation, error) {
		return b.InvalidateEvaluation(ctx, invalidate)
	})
	invalidated.answer, _ = newMemory().InvalidateEvaluation(context.Background(), invalidate)
	return []method{
		of("Evaluations", page, func(ctx context.Context, b api.Backend) (fairway.EvaluationPage, error) {
			return b.Evaluations(ctx, page)
		}),
		invalidated,
		of("CreateProject", create, func(ctx context.Context, b api.Backend) (api.Project, error) { return b.CreateProject(ctx, create) }),
		of("UpdateProject", filled[api.UpdateProject](), func(ctx context.Context, b api.Backend) (api.ProjectUpdate, error) {
			return b.UpdateProject(ctx, filled[api.UpdateProject]())
		}),
		of("Subscriptions", nil, func(ctx context.Context, b api.Backend) ([]fairway.SubscriptionState, error) {
			return b.Subscriptions(ctx)
		}),
		of("AddSubscription", filled[fairway.Subscription](), func(ctx context.Context, b api.Backend) (api.SubscriptionAdded, error) {
			return b.AddSubscription(ctx, filled[fairway.Subscription]())
		}),
		of("RemoveSubscription", fairway.SubscriptionID(odd), func(ctx context.Context, b api.Backend) (fairway.Subscription, error) {
			return b.RemoveSubscription(ctx, odd)
		}),
		of("RotateSubscription", fairway.SubscriptionID(odd), func(ctx context.Context, b api.Backend) (api.SubscriptionAdded, error) {
			return b.RotateSubscription(ctx, odd)
		}),
		of("TestSubscription", fairway.SubscriptionID(odd), func(ctx context.Context, b api.Backend) (fairway.SubscriptionState, error) {
			return b.TestSubscription(ctx, odd)
		}),
		of("ReplaySubscription", filled[api.ReplaySubscription](), func(ctx context.Context, b api.Backend) (fairway.SubscriptionState, error) {
			return b.ReplaySubscription(ctx, filled[api.ReplaySubscription]())
		}),
		of("UpdateService", filled[api.UpdateService](), func(ctx context.Context, b api.Backend) (api.ServiceUpdate, error) {
			return b.UpdateService(ctx, filled[api.UpdateService]())
		}),
		of("Projects", nil, func(ctx context.Context, b api.Backend) ([]api.Project, error) { return b.Projects(ctx) }),
		of("Project", fairway.ProjectName(odd), func(ctx context.Context, b api.Backend) (api.Project, error) { return b.Project(ctx, odd) }),
		of("Project dots", fairway.ProjectName(".."), func(ctx context.Context, b api.Backend) (api.Project, error) { return b.Project(ctx, "..") }),
		of("OnboardService", onboard, func(ctx context.Context, b api.Backend) (api.Onboarded, error) { return b.OnboardService(ctx, onboard) }),
		of("AddResources", add, func(ctx context.Context, b api.Backend) (api.Added, error) { return b.AddResources(ctx, add) }),
		of("SendArtifact", artifact, func(ctx context.Context, b api.Backend) (api.Accepted, error) { return b.SendArtifact(ctx, artifact) }),
		of("SendEvents", []fairway.Event{event}, func(ctx context.Context, b api.Backend) ([]api.Accepted, error) {
			return b.SendEvents(ctx, []fairway.Event{event})
		}),
		of("Command", command, func(ctx context.Context, b api.Backend) (fairway.Delivery, error) { return b.Command(ctx, command) }),
		of("Retry", retry, func(ctx context.Context, b api.Backend) (api.Accepted, error) { return b.Retry(ctx, retry) }),
		of("RollbackService", rollback, func(ctx context.Context, b api.Backend) (api.Accepted, error) {
			return b.RollbackService(ctx, rollback)
		}),
		of("Delete", remove, func(ctx context.Context, b api.Backend) (api.Deletion, error) { return b.Delete(ctx, remove) }),
		of("ConfigureUpstream", upstream, func(ctx context.Context, b api.Backend) (fairway.UpstreamState, error) {
			return b.ConfigureUpstream(ctx, upstream)
		}),
		of("RemoveUpstream", fairway.ProjectName(odd), func(ctx context.Context, b api.Backend) (api.Project, error) { return b.RemoveUpstream(ctx, odd) }),
		of("SyncUpstream", sync, func(ctx context.Context, b api.Backend) (fairway.UpstreamState, error) {
			return b.SyncUpstream(ctx, sync)
		}),
		of("SetRoute", route, func(ctx context.Context, b api.Backend) (api.RouteState, error) { return b.SetRoute(ctx, route) }),
		of("Services", fairway.ProjectName(odd), func(ctx context.Context, b api.Backend) ([]fairway.ServiceView, error) { return b.Services(ctx, odd) }).through(api.ServiceFilter{Project: odd, Limit: 1000}),
		of("Resources", []any{fairway.ProjectName(odd), fairway.ServiceName("carts")}, func(ctx context.Context, b api.Backend) ([]api.StageResources, error) {
			return b.Resources(ctx, odd, "carts")
		}),
		of("ServicePage", services, func(ctx context.Context, b api.Backend) (api.ServicePage, error) { return b.ServicePage(ctx, services) }),
		of("Services of all", fairway.ProjectName(""), func(ctx context.Context, b api.Backend) ([]fairway.ServiceView, error) { return b.Services(ctx, "") }).through(api.ServiceFilter{Limit: 1000}),
		of("Board", board, func(ctx context.Context, b api.Backend) (api.Board, error) { return b.Board(ctx, board) }),
		of("CommitDiff", []any{fairway.ProjectName(odd), odd}, func(ctx context.Context, b api.Backend) (api.CommitDiff, error) { return b.CommitDiff(ctx, odd, odd) }),
		of("Deliveries", ds, func(ctx context.Context, b api.Backend) ([]fairway.Delivery, error) { return b.Deliveries(ctx, ds) }),
		of("Deliveries all", api.DeliveryFilter{}, func(ctx context.Context, b api.Backend) ([]fairway.Delivery, error) {
			return b.Deliveries(ctx, api.DeliveryFilter{})
		}).through(api.DeliveryFilter{Limit: 100}),
		of("Delivery", odd, func(ctx context.Context, b api.Backend) (fairway.Delivery, error) { return b.Delivery(ctx, odd) }),
		of("DeliveryEvents", odd, func(ctx context.Context, b api.Backend) ([]fairway.Event, error) { return b.DeliveryEvents(ctx, odd) }),
		evaluation,
		of("TestReport", odd, func(ctx context.Context, b api.Backend) (fairway.TestReport, error) { return b.TestReport(ctx, odd) }),
		of("Registries", fairway.ProjectName(odd), func(ctx context.Context, b api.Backend) ([]api.Registry, error) { return b.Registries(ctx, odd) }),
		of("Registries of all", fairway.ProjectName(""), func(ctx context.Context, b api.Backend) ([]api.Registry, error) { return b.Registries(ctx, "") }),
		of("AddRegistry", filled[api.AddRegistry](), func(ctx context.Context, b api.Backend) (api.Registry, error) {
			return b.AddRegistry(ctx, filled[api.AddRegistry]())
		}),
		of("RemoveRegistry", api.RegistryName{Project: odd, Name: odd}, func(ctx context.Context, b api.Backend) (api.Registry, error) {
			return b.RemoveRegistry(ctx, api.RegistryName{Project: odd, Name: odd})
		}),
		of("CheckRegistry", api.RegistryName{Project: odd, Name: odd}, func(ctx context.Context, b api.Backend) ([]fairway.Checked, error) {
			return b.CheckRegistry(ctx, api.RegistryName{Project: odd, Name: odd})
		}),
		of("Monitoring", fairway.ProjectName(odd), func(ctx context.Context, b api.Backend) ([]api.Monitoring, error) { return b.Monitoring(ctx, odd) }),
		of("Monitoring of all", fairway.ProjectName(""), func(ctx context.Context, b api.Backend) ([]api.Monitoring, error) { return b.Monitoring(ctx, "") }),
		of("ConfigureMonitoring", filled[fairway.Connection](), func(ctx context.Context, b api.Backend) (api.Monitoring, error) {
			return b.ConfigureMonitoring(ctx, filled[fairway.Connection]())
		}),
		of("RemoveMonitoring", api.MonitoringName{Kind: odd}, func(ctx context.Context, b api.Backend) (api.Monitoring, error) {
			return b.RemoveMonitoring(ctx, api.MonitoringName{Kind: odd})
		}),
		of("InstallMonitoring", filled[api.InstallMonitoring](), func(ctx context.Context, b api.Backend) (api.Installed, error) {
			return b.InstallMonitoring(ctx, filled[api.InstallMonitoring]())
		}),
		of("CheckMonitoring", api.MonitoringName{Kind: odd, Project: odd}, func(ctx context.Context, b api.Backend) ([]fairway.Checked, error) {
			return b.CheckMonitoring(ctx, api.MonitoringName{Kind: odd, Project: odd})
		}),
		of("Commits", filled[api.CommitFilter](), func(ctx context.Context, b api.Backend) (api.CommitPage, error) {
			return b.Commits(ctx, filled[api.CommitFilter]())
		}),
		of("Dora", filled[api.DoraFilter](), func(ctx context.Context, b api.Backend) (dora.Figures, error) {
			return b.Dora(ctx, filled[api.DoraFilter]())
		}),
		of("Dora of all", api.DoraFilter{Project: odd}, func(ctx context.Context, b api.Backend) (dora.Figures, error) {
			return b.Dora(ctx, api.DoraFilter{Project: odd})
		}),
		of("System", nil, func(ctx context.Context, b api.Backend) (api.System, error) { return b.System(ctx) }),
		of("Targets", nil, func(ctx context.Context, b api.Backend) ([]api.TargetState, error) { return b.Targets(ctx) }),
		of("Routes", nil, func(ctx context.Context, b api.Backend) ([]api.RouteState, error) { return b.Routes(ctx) }),
		of("Checks", nil, func(ctx context.Context, b api.Backend) ([]api.Finding, error) { return b.Checks(ctx) }),
		of("Status", nil, func(ctx context.Context, b api.Backend) (api.Status, error) { return b.Status(ctx) }),
		{"Events", func(ctx context.Context, b api.Backend) (any, error) { return b.Events(ctx, filled[api.EventFilter]()) },
			filled[api.EventFilter](), []api.StoredEvent{}, filled[api.EventFilter]()},
		{"Logs", func(ctx context.Context, b api.Backend) (any, error) {
			out := &buffer{}
			return out.String(), b.Logs(ctx, odd, io.Discard, false)
		}, []any{odd, false}, "", []any{odd, false}},
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for how, open := range backends {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			b := open(t, m)
			for _, c := range methods() {
				got, err := c.call(t.Context(), b)
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
					continue
				}
				want := c.asked
				if how == "client" {
					want = c.served
				}
				if asked := m.lastAsked(); !reflect.DeepEqual(asked, want) {
					t.Errorf("%s: the Backend was asked\n%#v, want\n%#v", c.name, asked, want)
				}
				if l, ok := got.([]api.StoredEvent); ok && len(l) == 0 {
					continue
				}
				if !reflect.DeepEqual(got, c.answer) {
					t.Errorf("%s: answer\n%#v, want\n%#v", c.name, got, c.answer)
				}
			}
		})
	}
}

func TestEveryKindOfError(t *testing.T) {
	t.Parallel()
	problems := filled[[]fairway.Problem]()
	problems[1].Field = "other"
	failures := map[string]error{}
	for _, k := range []fairway.Kind{fairway.KindInvalid, fairway.KindNotFound, fairway.KindConflict, fairway.KindRefused, fairway.KindUnavailable, fairway.KindFull} {
		failures[string(k)] = fairway.Errorf(k, "cause of %s", k)
	}
	failures["problems"] = &fairway.Error{Kind: fairway.KindInvalid, Problems: problems}
	failures["problems and message"] = &fairway.Error{Kind: fairway.KindInvalid, Message: "nothing was changed", Problems: problems}
	for how, open := range backends {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			b := open(t, m)
			all := append(methods(), method{name: "Watch", call: func(ctx context.Context, b api.Backend) (any, error) {
				return nil, b.Watch(ctx, func(api.Change) error { return nil })
			}})
			for _, c := range all {
				for _, want := range failures {
					m.fail(want)
					_, err := c.call(t.Context(), b)
					if err == nil {
						t.Fatalf("%s: no error, want %v", c.name, want)
					}
					if fairway.KindOf(err) != fairway.KindOf(want) || err.Error() != want.Error() || !reflect.DeepEqual(fairway.Problems(err), fairway.Problems(want)) {
						t.Errorf("%s: error %s %q\nwant %s %q", c.name, fairway.KindOf(err), err, fairway.KindOf(want), want)
					}
				}
				m.fail(errors.New("pq: password of internal host"))
				if _, err := c.call(t.Context(), b); fairway.KindOf(err) != fairway.KindInternal || how == "client" && err.Error() != "Fairway failed to answer; its log says why" {
					t.Errorf("%s: internal error became %s %v", c.name, fairway.KindOf(err), err)
				}
				m.fail(fairway.Errorf(fairway.KindUnauthorized, "no"))
				if _, err := c.call(t.Context(), b); fairway.KindOf(err) != fairway.KindUnauthorized {
					t.Errorf("%s: unauthorized became %s", c.name, fairway.KindOf(err))
				}
			}
		})
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	for how, open := range backends {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			m.publish(3)
			b := open(t, m)
			stop := errors.New("enough")
			var got []api.StoredEvent
			calls := 0
			err := b.Watch(t.Context(), func(c api.Change) error {
				if calls++; calls == 1 {
					if len(c.Events) != 0 || !reflect.DeepEqual(c.Progress, filled[[]api.Progress]()) {
						t.Errorf("first call: %+v", c)
					}
					m.publish(2)
					m.publish(1)
				}
				if got = append(got, c.Events...); len(got) == 3 {
					return stop
				}
				return nil
			})
			if err != stop {
				t.Errorf("Watch returned %v, want what f returned", err)
			}
			if !reflect.DeepEqual(got, m.events[3:]) {
				t.Errorf("got %+v\nwant %+v", got, m.events[3:])
			}
			until(t, "the watch to end", func() bool { return m.watching() == 0 })

			ctx, cancel := context.WithCancel(t.Context())
			err = b.Watch(ctx, func(api.Change) error { cancel(); return nil })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Watch returned %v after its context ended", err)
			}
		})
	}
}

func TestEventsInPages(t *testing.T) {
	t.Parallel()
	for how, open := range backends {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			m.publish(5)
			b := open(t, m)
			for _, c := range []struct {
				f           api.EventFilter
				first, last uint64
			}{
				{api.EventFilter{}, 1, 5}, {api.EventFilter{Limit: 2}, 4, 5}, {api.EventFilter{After: 1, Limit: 2}, 2, 3}, {api.EventFilter{After: 3}, 4, 5},
				{api.EventFilter{Before: 5, Limit: 2}, 3, 4},
			} {
				es, err := b.Events(t.Context(), c.f)
				if err != nil || len(es) == 0 || es[0].Seq != c.first || es[len(es)-1].Seq != c.last {
					t.Errorf("%+v: %v %+v", c.f, err, es)
				}
			}
		})
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	for how, open := range backends {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			b := open(t, m)
			var out buffer
			if err := b.Logs(t.Context(), "d", &out, false); err != nil || out.String() != m.output {
				t.Errorf("Logs: %v %q", err, out.String())
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var followed buffer
			done := make(chan error)
			go func() { done <- b.Logs(ctx, "d", &followed, true) }()
			until(t, "output while it is followed", func() bool { return followed.String() == m.output })
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Logs returned %v after its context ended", err)
			}
			full := errors.New("no space left")
			if err := b.Logs(t.Context(), "d", broken{full}, false); err != full {
				t.Errorf("Logs returned %v when its writer failed", err)
			}
		})
	}
}

// broken is a writer that fails.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
