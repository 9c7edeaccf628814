package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// refusal is why what a person asked for was not done, and what they had
// written.
type refusal struct {
	Verb     string
	Message  string
	Problems []fairway.Problem
	Reason   string
}

func refusalOf(verb, reason string, err error) *refusal {
	return &refusal{Verb: verb, Message: err.Error(), Problems: fairway.Problems(err), Reason: reason}
}

// trafficForm is what can be done with a stage's traffic.
type trafficForm struct {
	Stage     fairway.StageName
	Split     bool // weights can be set: two versions live there
	Blue      int
	Green     int
	Occupants []place
}

// traffic returns the forms of the stages that the delivery has reached and
// that have traffic.
func (c *console) traffic(ctx context.Context, d fairway.Delivery) map[fairway.StageName]*trafficForm {
	page, err := c.backend.ServicePage(ctx, api.ServiceFilter{Project: d.Project, Text: string(d.Project) + "/" + string(d.Service), Limit: 100})
	if err != nil {
		c.told(ctx, err)
		return nil
	}
	out := map[fairway.StageName]*trafficForm{}
	for _, s := range page.Items {
		if s.Project != d.Project || s.Service != d.Service {
			continue
		}
		for _, v := range s.Stages {
			if v.Weights == nil {
				continue
			}
			f := &trafficForm{Stage: v.Stage, Blue: v.Weights[fairway.Blue], Green: v.Weights[fairway.Green]}
			for _, colour := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
				if o, ok := v.Occupants[colour]; ok {
					f.Occupants = append(f.Occupants, place{Occupant: o, Colour: colour, Weight: v.Weights[colour], Split: true})
				}
			}
			f.Split = len(f.Occupants) == 2
			out[v.Stage] = f
		}
	}
	return out
}

// verbs are what can be done with a delivery, and with its service in a stage.
var verbs = []string{"approve", "reject", "abort", "pause", "resume", "retry", "rollback", "weights"}

// command passes on a person's word, and shows the delivery again, or the new
// one that it has started. What is refused is said on the page.
func (c *console) command(w http.ResponseWriter, r *http.Request) error {
	verb, reason := r.PostFormValue("verb"), strings.TrimSpace(r.PostFormValue("reason"))
	id, err := c.obey(r, verb, reason)
	if err == nil {
		http.Redirect(w, r, "/deliveries/"+url.PathEscape(string(id)), http.StatusSeeOther)
		return nil
	}
	status, told := statuses[fairway.KindOf(err)]
	if !told || status == http.StatusUnauthorized {
		return err
	}
	if fails := c.showDelivery(w, r, status, refusalOf(verb, reason, err)); fails != nil {
		return errors.Join(err, fails)
	}
	return nil
}

// obey does what the verb says and returns the delivery to show.
func (c *console) obey(r *http.Request, verb, reason string) (fairway.DeliveryID, error) {
	ctx, delivery := r.Context(), r.PathValue("id")
	switch {
	case !slices.Contains(verbs, verb):
		return "", fairway.Invalid("verb", verb, "is nothing that can be done with a delivery", "use "+strings.Join(verbs, ", "))
	case reason == "" && verb != "approve":
		return "", fairway.Invalid("reason", "", "is missing", "say in a sentence why; it is kept with the delivery")
	case verb == "retry":
		a, err := c.backend.Retry(ctx, api.RetryRequest{Delivery: delivery, Reason: reason})
		return a.Delivery, err
	case verb == "rollback" || verb == "weights":
		return c.steer(r, verb, reason)
	}
	d, err := c.backend.Command(ctx, api.Command{Verb: verb, Delivery: delivery, Reason: reason})
	return d.ID, err
}

// steer moves a stage's traffic.
func (c *console) steer(r *http.Request, verb, reason string) (fairway.DeliveryID, error) {
	ctx := r.Context()
	d, err := c.backend.Delivery(ctx, r.PathValue("id"))
	if err != nil {
		return "", err
	}
	stage := fairway.StageName(r.PostFormValue("stage"))
	if verb == "rollback" {
		a, err := c.backend.RollbackService(ctx, api.Rollback{Project: d.Project, Service: d.Service, Stage: stage, To: strings.TrimSpace(r.PostFormValue("to")), Reason: reason})
		if a.Delivery == "" {
			a.Delivery = d.ID
		}
		return a.Delivery, err
	}
	weights := fairway.Weights{}
	for _, colour := range []fairway.Colour{fairway.Blue, fairway.Green} {
		text := strings.TrimSpace(r.PostFormValue(string(colour)))
		if weights[colour], err = strconv.Atoi(text); err != nil {
			return "", fairway.Invalid("weight of "+colour.String(), text, "is not a number", "write a whole number of percent, from 0 to 100")
		}
	}
	if err := weights.Validate(); err != nil {
		return "", err
	}
	_, err = c.backend.SetRoute(ctx, api.SetRoute{Project: d.Project, Service: d.Service, Stage: stage, Weights: weights, Force: r.PostFormValue("force") == "true", Reason: reason})
	return d.ID, err
}

// output sends what the delivery's processes have written, and with
// ?follow=true what they write from now on.
func (c *console) output(w http.ResponseWriter, r *http.Request) error {
	d, err := c.backend.Delivery(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	out := flushing{w, http.NewResponseController(w)}
	if err := c.backend.Logs(r.Context(), string(d.ID), out, r.URL.Query().Get("follow") == "true"); err != nil && r.Context().Err() == nil {
		fmt.Fprintf(out, "\nThe output ends here: %s\n", c.told(r.Context(), err))
	}
	return nil
}

// flushing sends on at once what is written.
type flushing struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
