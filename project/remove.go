package project

import (
	"context"
	"fmt"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
)

// Services implements [controller.Configuration]. It looks at all branches and
// not at the shipyard: a project whose shipyard cannot be read has services.
func (k *Keeper) Services(ctx context.Context, p fairway.ProjectName) ([]fairway.ServiceName, error) {
	ok, err := k.Git.Exists(ctx, p)
	if err != nil || !ok {
		return nil, err
	}
	branches, err := k.Git.Branches(ctx, p)
	if err != nil {
		return nil, err
	}
	var all []fairway.ServiceName
	for b := range branches {
		services, err := k.servicesOf(ctx, p, fairway.StageName(b))
		if err != nil {
			return nil, err
		}
		all = append(all, services...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Remove implements [controller.Configuration]. A project that is not there
// has no branches to take a service out of.
func (k *Keeper) Remove(ctx context.Context, c controller.Change) error {
	k.create.Lock()
	defer k.create.Unlock()
	ok, err := k.Git.Exists(ctx, c.Project)
	if err != nil || !ok {
		return err
	}
	if c.Service == "" {
		to, err := k.Git.Remove(ctx, c.Project, k.Now())
		if err == nil {
			k.Logger.Info("the repository of a deleted project was moved away", "project", c.Project, "to", to)
		}
		return err
	}
	branches, err := k.Git.Branches(ctx, c.Project)
	if err != nil {
		return err
	}
	info := k.info("", c.Reason)
	info.Trailers = [][2]string{{git.DeliveryTrailer, string(c.Delivery)}}
	commits := map[string]git.CommitRequest{}
	for b := range branches {
		commits[b] = git.CommitRequest{Info: info, Edit: func(s *git.Snapshot) (map[string][]byte, error) {
			files, err := s.Files("")
			if err != nil {
				return nil, err
			}
			changes, err := chart.Remove(files, c.Service)
			if err != nil {
				return nil, fmt.Errorf("branch %s: %w", b, err)
			}
			for file := range files {
				if s, ok := chart.DefinitionOf(file); ok && b == mainBranch && s == c.Service {
					changes[file] = nil
				}
			}
			return changes, nil
		}}
	}
	_, err = k.Git.CommitAll(ctx, c.Project, commits)
	return err
}
