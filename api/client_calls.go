package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fairwaycd/fairway"
)

// CreateProject implements [Backend].
func (c *Client) CreateProject(ctx context.Context, r CreateProject) (Project, error) {
	return ask[Project](ctx, c, call{method: http.MethodPost, path: []string{"projects"}, body: r})
}

// Projects implements [Backend].
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	return getAll[Project](ctx, c, nil, 0, "projects")
}

// Project implements [Backend].
func (c *Client) Project(ctx context.Context, p fairway.ProjectName) (Project, error) {
	return get[Project](ctx, c, nil, "projects", string(p))
}

// OnboardService implements [Backend].
func (c *Client) OnboardService(ctx context.Context, r OnboardService) (Onboarded, error) {
	return ask[Onboarded](ctx, c, call{method: http.MethodPost, path: []string{"projects", string(r.Project), "services"}, body: r})
}

// AddResources implements [Backend].
func (c *Client) AddResources(ctx context.Context, r AddResources) (Added, error) {
	return ask[Added](ctx, c, call{method: http.MethodPut, path: []string{"projects", string(r.Project), "services", string(r.Service), "resources"}, body: r})
}

// SendArtifact implements [Backend].
func (c *Client) SendArtifact(ctx context.Context, r SendArtifact) (Accepted, error) {
	return ask[Accepted](ctx, c, call{method: http.MethodPost, path: []string{"projects", string(r.Project), "services", string(r.Service), "artifacts"}, body: r})
}

// SendEvents implements [Backend].
func (c *Client) SendEvents(ctx context.Context, events []fairway.Event) ([]Accepted, error) {
	if events == nil {
		events = []fairway.Event{}
	}
	l, err := ask[list[Accepted]](ctx, c, call{method: http.MethodPost, path: []string{"events"}, body: events, kind: "application/cloudevents-batch+json"})
	return l.Items, err
}

// Command implements [Backend].
func (c *Client) Command(ctx context.Context, r Command) (fairway.Delivery, error) {
	return ask[fairway.Delivery](ctx, c, call{method: http.MethodPost, path: []string{"deliveries", r.Delivery, "commands"}, body: r})
}

// Retry implements [Backend].
func (c *Client) Retry(ctx context.Context, r RetryRequest) (Accepted, error) {
	return ask[Accepted](ctx, c, call{method: http.MethodPost, path: []string{"deliveries", r.Delivery, "retry"}, body: r})
}

// RollbackService implements [Backend].
func (c *Client) RollbackService(ctx context.Context, r Rollback) (Accepted, error) {
	return ask[Accepted](ctx, c, call{method: http.MethodPost, path: []string{"projects", string(r.Project), "services", string(r.Service), "rollback"}, body: r})
}

// SetRoute implements [Backend].
func (c *Client) SetRoute(ctx context.Context, r SetRoute) (RouteState, error) {
	return ask[RouteState](ctx, c, call{method: http.MethodPut, path: []string{"projects", string(r.Project), "services", string(r.Service), "route"}, body: r})
}

// Services implements [Backend].
func (c *Client) Services(ctx context.Context, p fairway.ProjectName) ([]fairway.ServiceView, error) {
	return getAll[fairway.ServiceView](ctx, c, filled("project", string(p)), 0, "services")
}

// ServicePage implements [Backend].
func (c *Client) ServicePage(ctx context.Context, f ServiceFilter) (ServicePage, error) {
	q := filled("project", string(f.Project), "text", f.Text, "stage", string(f.Stage), "cursor", f.After.cursor())
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	l, err := get[list[fairway.ServiceView]](ctx, c, q, "services")
	page := ServicePage{Items: l.Items}
	if l.Total != nil {
		page.Total = *l.Total
	}
	return page, err
}

// Deliveries implements [Backend].
func (c *Client) Deliveries(ctx context.Context, f DeliveryFilter) ([]fairway.Delivery, error) {
	q := filled("project", string(f.Project), "service", string(f.Service), "stage", string(f.Stage), "status", string(f.Status), "cursor", f.Before.cursor())
	if f.Open {
		q.Set("open", "true")
	}
	return getAll[fairway.Delivery](ctx, c, q, cmp.Or(f.Limit, usualLimit), "deliveries")
}

// Delivery implements [Backend].
func (c *Client) Delivery(ctx context.Context, id string) (fairway.Delivery, error) {
	return get[fairway.Delivery](ctx, c, nil, "deliveries", id)
}

// DeliveryEvents implements [Backend].
func (c *Client) DeliveryEvents(ctx context.Context, id string) ([]fairway.Event, error) {
	return getList[fairway.Event](ctx, c, nil, "deliveries", id, "events")
}

// Evaluation implements [Backend].
func (c *Client) Evaluation(ctx context.Context, id string) (fairway.Evaluation, error) {
	e, err := get[fairway.Evaluation](ctx, c, nil, "evaluations", id)
	return c.valued(e, err)
}

// valued gives samples their values: JSON carries a sample's text, which can be
// NaN, and not its value.
func (c *Client) valued(e fairway.Evaluation, err error) (fairway.Evaluation, error) {
	if err != nil {
		return e, err
	}
	for i := range e.IndicatorResults {
		for _, samples := range [][]fairway.Sample{e.IndicatorResults[i].Samples, e.IndicatorResults[i].Course} {
			for j := range samples {
				if samples[j].Value, err = strconv.ParseFloat(samples[j].Text, 64); err != nil {
					return fairway.Evaluation{}, c.misread(err)
				}
			}
		}
	}
	return e, nil
}

// Evaluations implements [Backend].
func (c *Client) Evaluations(ctx context.Context, f fairway.EvaluationFilter) (fairway.EvaluationPage, error) {
	q := filled("project", string(f.Project), "stage", string(f.Stage), "service", string(f.Service), "result", string(f.Verdict), "before", f.Before)
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return get[fairway.EvaluationPage](ctx, c, q, "evaluations")
}

// InvalidateEvaluation implements [Backend].
func (c *Client) InvalidateEvaluation(ctx context.Context, r InvalidateEvaluation) (fairway.Evaluation, error) {
	e, err := ask[fairway.Evaluation](ctx, c, call{method: http.MethodPost, path: []string{"evaluations", r.Evaluation, "invalidate"}, body: r})
	return c.valued(e, err)
}

// TestReport implements [Backend].
func (c *Client) TestReport(ctx context.Context, id string) (fairway.TestReport, error) {
	return get[fairway.TestReport](ctx, c, nil, "reports", id)
}

// Events implements [Backend].
func (c *Client) Events(ctx context.Context, f EventFilter) ([]StoredEvent, error) {
	q := filled("project", string(f.Project), "service", string(f.Service), "delivery", string(f.Delivery), "type", f.Type)
	if f.After != 0 {
		q.Set("after", strconv.FormatUint(f.After, 10))
	}
	if f.Before != 0 {
		q.Set("cursor", cursor("e", "before", strconv.FormatUint(f.Before, 10)))
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(min(f.Limit, mostEvents)))
	}
	return getList[StoredEvent](ctx, c, q, "events")
}

// Targets implements [Backend].
func (c *Client) Targets(ctx context.Context) ([]TargetState, error) {
	return getAll[TargetState](ctx, c, nil, 0, "targets")
}

// Routes implements [Backend].
func (c *Client) Routes(ctx context.Context) ([]RouteState, error) {
	return getAll[RouteState](ctx, c, nil, 0, "routes")
}

// Status implements [Backend].
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, nil, "status")
}

// filled makes a query of pairs of name and value, leaving out empty values.
func filled(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}
