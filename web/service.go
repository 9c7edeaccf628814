package web

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

const (
	// historyShown is how many deliveries the page of a service lists.
	historyShown = 15
	// historyLooked is how many are looked at for the versions to go back to.
	historyLooked = 100
	// verdictsShown is how many evaluations of each stage it shows.
	verdictsShown = 24
)

// servicePage is what the page of a service shows.
type servicePage struct {
	Project    api.Project
	Service    fairway.ServiceName
	Path       string
	Crumbs     []crumb
	Since      time.Time // onboarded
	Stages     []serviceStage
	Verdicts   []verdictStrip
	Deliveries []deliveryLine
	Open       int
	More       bool
	Dora       doraPanel
	Image      string   // that was delivered last
	Tags       []string // that were
	Problems   []string
}

// serviceStage is what runs in one stage, and what can be done there.
type serviceStage struct {
	fairway.StageView
	Plan     fairway.Stage
	URL      string // at the gateway; empty while nothing is released
	Places   []servicePlace
	Bar      []share100
	Holding  *fairway.Delivery // under way there
	Released []string          // tags to go back to
	Blue     int               // percent
	Split    bool              // its traffic can be split by hand
}

// servicePlace is a version in a place.
type servicePlace struct {
	fairway.Occupant
	Colour fairway.Colour
	Share  string
	Health string // ready, not ready, or empty when it is not known
}

// share100 is a colour's part of a bar of 100.
type share100 struct {
	Colour      fairway.Colour
	From, Width int
}

// verdictStrip are the evaluations in a stage, the oldest first.
type verdictStrip struct {
	Stage fairway.StageName
	Items []fairway.EvaluationSummary
}

type deliveryLine struct {
	fairway.Delivery
	Took string
}

func (c *console) service(w http.ResponseWriter, r *http.Request) error {
	ctx, p, s := r.Context(), projectOf(r), serviceOf(r)
	project, found, err := c.findService(ctx, p, s)
	if err != nil {
		return err
	}
	page := servicePage{Project: project, Service: s, Path: servicePath(p, s), Since: found.Since,
		Crumbs: []crumb{{"Projects", "/projects"}, {string(p), projectPath(p)}}}
	ds, err := c.backend.Deliveries(ctx, api.DeliveryFilter{Project: p, Service: s, Limit: historyLooked})
	if err != nil {
		return err
	}
	c.addHistory(&page, ds)
	if err := c.addStages(ctx, &page, found, ds); err != nil {
		return err
	}
	for _, stage := range project.Shipyard.Stages {
		list, err := c.backend.Evaluations(ctx, fairway.EvaluationFilter{Project: p, Service: s, Stage: stage.Name, Limit: verdictsShown})
		if err != nil {
			page.Problems = append(page.Problems, "Evaluations cannot be shown: "+c.told(ctx, err))
			break
		}
		if slices.Reverse(list.Items); len(list.Items) > 0 {
			page.Verdicts = append(page.Verdicts, verdictStrip{stage.Name, list.Items})
		}
	}
	page.Dora = c.figures(ctx, api.DoraFilter{Project: p, Service: s}, r.URL.Query().Get("since"), page.Path)
	return c.render(w, r, http.StatusOK, "service", view{Title: string(s) + " · " + string(p), Live: true, Page: page})
}

// findService returns the project and what the service looks like.
func (c *console) findService(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) (api.Project, fairway.ServiceView, error) {
	project, err := c.backend.Project(ctx, p)
	if err != nil {
		return project, fairway.ServiceView{}, err
	}
	all, err := c.backend.Services(ctx, p)
	if err != nil {
		return project, fairway.ServiceView{}, err
	}
	i := slices.IndexFunc(all, func(v fairway.ServiceView) bool { return v.Service == s })
	if i < 0 {
		return project, fairway.ServiceView{}, fairway.Errorf(fairway.KindNotFound, "project %s has no service %s; its page lists those that there are", p, s)
	}
	return project, all[i], nil
}

// addHistory adds the latest deliveries, and what they were about.
func (c *console) addHistory(page *servicePage, ds []fairway.Delivery) {
	for _, d := range ds {
		if !d.Status.Ended() {
			page.Open++
		}
		if page.Image == "" {
			page.Image = d.Artifact.Image
		}
		if !slices.Contains(page.Tags, d.Artifact.Tag) {
			page.Tags = append(page.Tags, d.Artifact.Tag)
		}
		if len(page.Deliveries) < historyShown {
			page.Deliveries = append(page.Deliveries, deliveryLine{d, span(until(d.EndedAt, c.now()).Sub(d.StartedAt))})
		}
	}
	page.More = len(ds) > len(page.Deliveries)
}

// addStages adds what runs in each stage, in the shipyard's order.
func (c *console) addStages(ctx context.Context, page *servicePage, view fairway.ServiceView, ds []fairway.Delivery) error {
	routes, err := c.backend.Routes(ctx)
	if err != nil {
		return err
	}
	status, err := c.backend.Status(ctx)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(status.Gateway)
	for _, plan := range page.Project.Shipyard.Stages {
		i := slices.IndexFunc(view.Stages, func(v fairway.StageView) bool { return v.Stage == plan.Name })
		if i < 0 {
			continue
		}
		v := view.Stages[i]
		st := serviceStage{StageView: v, Plan: plan.WithDefaults(), Released: releasedIn(ds, v), Blue: v.Weights[fairway.Blue]}
		if v.Weights != nil && port != "" {
			st.URL = "http://" + net.JoinHostPort(fairway.ServiceHost(v.Namespace, page.Service, c.domain), port) + "/"
		}
		ready := readiness(routes, v.Namespace, page.Service)
		from, live := 0, 0
		for _, colour := range colours {
			if width := v.Weights[colour]; width > 0 {
				st.Bar = append(st.Bar, share100{colour, from, width})
				from += width
			}
			o, ok := v.Occupants[colour]
			if !ok {
				continue
			}
			place := servicePlace{Occupant: o, Colour: colour, Share: share(v.Weights, colour), Health: ready[o.Instance]}
			if o.State != fairway.OccupantStopped && colour != fairway.Single {
				live++
			}
			st.Places = append(st.Places, place)
		}
		st.Split = v.Strategy == fairway.BlueGreen && live > 0 && v.Weights != nil
		if j := slices.IndexFunc(ds, func(d fairway.Delivery) bool { return d.ID == v.Holder }); j >= 0 {
			st.Holding = &ds[j]
		}
		page.Stages = append(page.Stages, st)
	}
	return nil
}

// readiness says by instance whether what runs in the service's places there
// answers.
func readiness(routes []api.RouteState, ns fairway.Namespace, s fairway.ServiceName) map[string]string {
	out := map[string]string{}
	for _, r := range routes {
		if r.Namespace != ns || r.Service != s {
			continue
		}
		for _, b := range r.Backends {
			out[b.Instance] = "not ready"
			if b.Ready {
				out[b.Instance] = "ready"
			}
		}
	}
	return out
}

// releasedIn lists the tags that were released in the stage and do not have
// its traffic, the latest first.
func releasedIn(ds []fairway.Delivery, v fairway.StageView) []string {
	lead, _ := v.Weights.Leader()
	var out []string
	for _, d := range ds {
		i := slices.IndexFunc(d.Stages, func(s fairway.StageRecord) bool { return s.Stage == v.Stage })
		released := i >= 0 && d.Stages[i].EndedAt != nil && (i+1 < len(d.Stages) || d.Status == fairway.StatusFinished)
		if tag := d.Artifact.Tag; released && tag != v.Occupants[lead].Artifact.Tag && !slices.Contains(out, tag) {
			out = append(out, tag)
		}
	}
	return out
}

// steerService does what a form of the service's page asks for, and shows what
// has come of it.
func (c *console) steerService(w http.ResponseWriter, r *http.Request) error {
	reason, err := reasonOf(r)
	verb := field(r, "verb")
	if err != nil && verb != "deliver" {
		return err
	}
	to := servicePath(projectOf(r), serviceOf(r))
	var done api.Accepted
	switch verb {
	case "rollback":
		done, err = c.backend.RollbackService(r.Context(), api.Rollback{Project: projectOf(r), Service: serviceOf(r),
			Stage: fairway.StageName(field(r, "stage")), To: field(r, "to"), Reason: reason})
	case "weights":
		err = c.setWeights(r, reason)
		to += "#stage-" + url.PathEscape(field(r, "stage"))
	case "deliver":
		done, err = c.backend.SendArtifact(r.Context(), api.SendArtifact{Project: projectOf(r), Service: serviceOf(r),
			Image: field(r, "image"), Tag: field(r, "tag"), Stage: fairway.StageName(field(r, "stage"))})
	default:
		err = fairway.Invalid("verb", verb, "is nothing that can be done with a service", "use rollback, weights or deliver")
	}
	if err != nil {
		return err
	}
	if done.Delivery != "" {
		to = "/deliveries/" + url.PathEscape(string(done.Delivery))
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// setWeights gives blue what the form says, and green the rest.
func (c *console) setWeights(r *http.Request, reason string) error {
	text := strings.TrimSuffix(field(r, "blue"), "%")
	blue, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || blue < 0 || blue > 100 {
		return fairway.Invalid("blue", text, "is no share of the traffic", "write whole percent from 0 to 100; green gets the rest")
	}
	_, err = c.backend.SetRoute(r.Context(), api.SetRoute{Project: projectOf(r), Service: serviceOf(r), Stage: fairway.StageName(field(r, "stage")),
		Weights: fairway.Weights{fairway.Blue: blue, fairway.Green: 100 - blue}, Force: field(r, "force") == "on", Reason: reason})
	return err
}
