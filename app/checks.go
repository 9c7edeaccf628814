package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// checkLimit is how long one thing may take to answer a check.
const checkLimit = 15 * time.Second

// checker is a site that can say whether it has what it needs, such as the
// permissions that a cluster gives it.
type checker interface {
	checks(ctx context.Context) []api.Finding
}

// Checks implements [api.Backend].
func (b *backend) Checks(ctx context.Context) ([]api.Finding, error) {
	if err := b.reading(); err != nil {
		return nil, err
	}
	system, err := b.System(ctx)
	if err != nil {
		return nil, err
	}
	states := map[string]string{api.PartOK: api.CheckOK, api.PartWarning: api.CheckWarn, api.PartTrouble: api.CheckFail}
	var all []api.Finding
	for _, p := range system.Parts {
		c := api.Finding{Name: p.Name, State: states[p.State], Text: p.Text}
		if c.State != api.CheckOK {
			c.Remedy = "what happened before shows in the log of `fairway up`"
		}
		all = append(all, c)
	}
	asked := b.questions()
	answers := make([][]api.Finding, len(asked))
	var done sync.WaitGroup
	for i, ask := range asked {
		done.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkLimit)
			defer cancel()
			answers[i] = ask(ctx)
		})
	}
	done.Wait()
	for _, a := range answers {
		all = append(all, a...)
	}
	return all, nil
}

// questions are what is asked of others, each by itself.
func (b *backend) questions() (ask []func(context.Context) []api.Finding) {
	for _, c := range b.monitoring.All() {
		name, remedy := c.Kind+" of all projects", "fairway configure monitoring "+c.Kind+" --url URL"
		if c.Project != "" {
			name, remedy = fmt.Sprintf("%s of project %s", c.Kind, c.Project), remedy+" --project "+string(c.Project)
		}
		ask = append(ask, func(ctx context.Context) []api.Finding {
			found, err := b.CheckMonitoring(ctx, api.MonitoringName{Kind: c.Kind, Project: c.Project})
			return checksOf(name, remedy, found, err)
		})
	}
	ask = append(ask, b.checkRegistries, b.checkUpstreams)
	if c, ok := b.site.(checker); ok {
		ask = append(ask, c.checks)
	}
	return ask
}

func (b *backend) checkRegistries(ctx context.Context) (all []api.Finding) {
	list, err := b.Registries(ctx, "")
	if err != nil {
		return checksOf("registries", "", nil, err)
	}
	for _, r := range list {
		found, err := b.CheckRegistry(ctx, api.RegistryName{Project: r.Project, Name: r.Name})
		all = append(all, checksOf(fmt.Sprintf("registry %s of project %s", r.Name, r.Project), fmt.Sprintf("fairway registry check %s --project %s", r.Name, r.Project), found, err)...)
	}
	return all
}

func (b *backend) checkUpstreams(ctx context.Context) (all []api.Finding) {
	projects, err := b.Projects(ctx)
	if err != nil {
		return checksOf("upstreams", "", nil, err)
	}
	for _, p := range projects {
		if p.Upstream == nil {
			continue
		}
		c := api.Finding{Name: "upstream of project " + string(p.Name), State: api.CheckOK, Text: p.Upstream.URL + " is " + string(p.Upstream.Condition)}
		switch {
		case p.Upstream.Condition.Worse(fairway.UpstreamBehind):
			c.State, c.Text = api.CheckFail, c.Text+": "+p.Upstream.Reason
		case p.Upstream.Condition.Worse(fairway.UpstreamPending):
			c.State = api.CheckWarn
		}
		if c.State != api.CheckOK {
			c.Remedy = "fairway sync upstream --project " + string(p.Name)
		}
		all = append(all, c)
	}
	return all
}

// checksOf makes one check of what was found: the first thing that does not
// work, or that all does.
func checksOf(name, remedy string, found []fairway.Checked, err error) []api.Finding {
	c := api.Finding{Name: name, State: api.CheckOK, Text: fmt.Sprintf("%d things were tried and work", len(found))}
	if err != nil {
		c.State, c.Text, c.Remedy = api.CheckFail, err.Error(), remedy
		return []api.Finding{c}
	}
	for _, f := range found {
		if !f.OK {
			c.State, c.Text, c.Remedy = api.CheckFail, f.What+": "+f.Text, remedy
			break
		}
	}
	return []api.Finding{c}
}
