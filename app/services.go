package app

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/project"
)

// usualServices is how many services a page has unless another number is
// asked for.
const usualServices = 100

// Services implements [api.Backend].
func (b *backend) Services(ctx context.Context, p fairway.ProjectName) ([]fairway.ServiceView, error) {
	page, err := b.ServicePage(ctx, api.ServiceFilter{Project: p, Limit: math.MaxInt})
	return page.Items, err
}

// ServicePage implements [api.Backend]. Only the services of the page are
// shown whole; of the others no more is looked at than the filter needs.
func (b *backend) ServicePage(ctx context.Context, f api.ServiceFilter) (page api.ServicePage, err error) {
	if err := b.reading(); err != nil {
		return page, err
	}
	var infos []project.Info
	if f.Project != "" {
		infos = make([]project.Info, 1)
		infos[0], err = b.keeper.Project(ctx, f.Project)
	} else {
		infos, err = b.keeper.Projects(ctx)
	}
	if err != nil {
		return page, err
	}
	limit, text := cmp.Or(f.Limit, usualServices), strings.ToLower(f.Text)
	for _, i := range infos {
		for _, s := range i.Services {
			if text != "" && !strings.Contains(string(i.Name)+"/"+string(s), text) || f.Stage != "" && !b.isIn(i.Name, s, f.Stage) {
				continue
			}
			page.Total++
			if len(page.Items) < limit && behind(api.ServiceKey{Project: i.Name, Service: s}, f.After) {
				page.Items = append(page.Items, b.serviceView(i, s))
			}
		}
	}
	return page, nil
}

func behind(k, after api.ServiceKey) bool {
	return cmp.Or(strings.Compare(string(k.Project), string(after.Project)), strings.Compare(string(k.Service), string(after.Service))) > 0
}

// isIn reports whether the service has a version or a delivery in the stage.
func (b *backend) isIn(p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName) bool {
	v, ok := b.stageView(p, s, stage)
	return ok && (len(v.Occupants) > 0 || v.Holder != "" || len(v.Queue) > 0)
}

// Resources implements [api.Backend].
func (b *backend) Resources(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) ([]api.StageResources, error) {
	info, files, err := b.keeper.Resources(ctx, p, s)
	if err != nil {
		return nil, err
	}
	out := make([]api.StageResources, 0, len(files))
	for _, st := range info.Shipyard.Stages {
		r := api.StageResources{Stage: st.Name, Files: []api.ResourceFile{}}
		for _, path := range slices.Sorted(maps.Keys(files[st.Name])) {
			r.Files = append(r.Files, api.ResourceFile{Path: path, Content: files[st.Name][path]})
		}
		out = append(out, r)
	}
	return out, nil
}
