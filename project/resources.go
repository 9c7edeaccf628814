package project

import (
	"context"
	"maps"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// Resources returns the files of a service that [Keeper.AddResources]
// replaces, by stage and path within the service's directory.
func (k *Keeper) Resources(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) (Info, map[fairway.StageName]map[string][]byte, error) {
	info, err := k.Project(ctx, p)
	if err != nil {
		return info, nil, err
	}
	if !slices.Contains(info.Services, s) {
		return info, nil, unknownService(p, s, info.Services)
	}
	all := map[fairway.StageName]map[string][]byte{}
	for _, st := range info.Shipyard.Stages {
		tip, err := k.Git.Read(ctx, p, string(st.Name))
		if err != nil {
			return info, nil, err
		}
		files, err := tip.Files(string(s))
		if err != nil {
			return info, nil, err
		}
		all[st.Name] = map[string][]byte{}
		for _, path := range slices.Sorted(maps.Keys(files)) {
			name := path[len(s)+1:]
			if _, err := chart.Resources(s, map[string][]byte{name: nil}); err == nil { // the rest is not replaced
				all[st.Name][name] = files[path]
			}
		}
	}
	return info, all, nil
}
