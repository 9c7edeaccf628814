package project

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/helm"
	"github.com/fairwaycd/fairway/quality"
)

// commit changes the stage's branch for an effect; the key makes it happen
// once however often the effect is performed.
func (k *Keeper) commit(ctx context.Context, c controller.Change, edit func(files map[string][]byte) (map[string][]byte, error)) (string, error) {
	info := k.info("", c.Reason)
	info.Trailers = [][2]string{{"Fairway-Delivery", string(c.Delivery)}}
	hash, _, err := k.Git.Commit(ctx, c.Project, string(c.Stage.Name), git.CommitRequest{
		Info: info, Key: c.Key,
		Edit: func(s *git.Snapshot) (map[string][]byte, error) {
			files, err := s.Files(chartDir)
			if err != nil {
				return nil, err
			}
			return edit(files)
		},
	})
	return hash, err
}

const chartDir = "helm-chart"

// SetImage implements [controller.Configuration].
func (k *Keeper) SetImage(ctx context.Context, c controller.Change, a fairway.Artifact) (string, error) {
	return k.commit(ctx, c, func(files map[string][]byte) (map[string][]byte, error) {
		return chart.SetImage(files, c.Service, c.Colour, a)
	})
}

// SetWeights implements [controller.Configuration].
func (k *Keeper) SetWeights(ctx context.Context, c controller.Change, w fairway.Weights) (string, error) {
	return k.commit(ctx, c, func(files map[string][]byte) (map[string][]byte, error) {
		if w == nil && c.Stage.DeploymentStrategy == fairway.BlueGreen {
			w = fairway.Weights{fairway.Blue: 0, fairway.Green: 0}
		}
		return chart.SetWeights(files, c.Service, w)
	})
}

func (k *Keeper) at(ctx context.Context, c controller.Change, commit string) (*git.Snapshot, error) {
	if commit == "" {
		commit = string(c.Stage.Name)
	}
	return k.Git.Read(ctx, c.Project, commit)
}

// Render implements [controller.Configuration].
func (k *Keeper) Render(ctx context.Context, c controller.Change, commit string, a fairway.Artifact) ([][]byte, error) {
	snap, err := k.at(ctx, c, commit)
	if err != nil {
		return nil, err
	}
	files, err := snap.Files(chartDir)
	if err != nil {
		return nil, err
	}
	own, err := snap.Files(chart.OwnDir(c.Service))
	if err != nil {
		return nil, err
	}
	maps.Copy(files, own)
	r, err := helm.Render(ctx, files, helm.Release{
		Project: c.Project, Stage: c.Stage.Name, Namespace: c.Stage.Namespace,
		Service: c.Service, Colour: c.Colour, Artifact: a,
	})
	if err != nil {
		return nil, err
	}
	if !r.Random {
		return manifests(r), nil
	}
	return k.once(ctx, c, commit, a, manifests(r))
}

// Objectives implements [controller.Configuration].
func (k *Keeper) Objectives(ctx context.Context, c controller.Change, commit string) (map[string][]byte, error) {
	snap, err := k.at(ctx, c, commit)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, name := range quality.Files() {
		body, ok, err := snap.File(string(c.Service) + "/" + name)
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", name, c.Service, err)
		}
		if ok {
			out[name] = body
		}
	}
	return out, nil
}

// Tests implements [controller.Configuration]: tests/… and jmeter/….
func (k *Keeper) Tests(ctx context.Context, c controller.Change, commit string) (map[string][]byte, error) {
	snap, err := k.at(ctx, c, commit)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	prefix := string(c.Service) + "/"
	for _, dir := range []string{"tests", "jmeter"} {
		files, err := snap.Files(prefix + dir)
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", dir, c.Service, err)
		}
		for name, body := range files {
			out[strings.TrimPrefix(name, prefix)] = body
		}
	}
	return out, nil
}
