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
func (k *Keeper) commit(ctx context.Context, c controller.Change, dir string, edit func(files map[string][]byte) (map[string][]byte, error)) (string, error) {
	info := k.info("", c.Reason)
	info.Trailers = [][2]string{{git.DeliveryTrailer, string(c.Delivery)}}
	hash, _, err := k.Git.Commit(ctx, c.Project, string(c.Stage.Name), git.CommitRequest{
		Info: info, Key: c.Key,
		Edit: func(s *git.Snapshot) (map[string][]byte, error) {
			files, err := s.Files(dir)
			if err != nil {
				return nil, err
			}
			return edit(files)
		},
	})
	return hash, err
}

const chartDir = "helm-chart"

// SetImage implements [controller.Configuration]. The version runs with the
// configuration that the change carries, else with that of the version which
// has the traffic.
func (k *Keeper) SetImage(ctx context.Context, c controller.Change, a fairway.Artifact) (string, error) {
	v, dir := chart.Version{Artifact: a, Colour: c.Colour, Source: c.Colour}, chartDir
	if c.Live != "" {
		live, err := k.coloursPart(ctx, c)
		if err != nil {
			return "", err
		}
		v.Live = live
	}
	if c.Carried != nil && !c.Carried.InStage() {
		return k.configureDefined(ctx, c, v)
	}
	if c.Carried.InStage() {
		from, err := k.filesAt(ctx, c.Project, c.Carried.Commit)
		if err != nil {
			return "", err
		}
		live := c.Colour.Other()
		if c.Live == "" {
			live = ""
		}
		dir = ""
		v.From, v.Source = from, c.Carried.Source(c.Colour, live)
	}
	return k.commit(ctx, c, dir, func(files map[string][]byte) (map[string][]byte, error) {
		return chart.Configure(files, c.Service, v)
	})
}

// PutBack implements [controller.Configuration].
func (k *Keeper) PutBack(ctx context.Context, c controller.Change) error {
	live, err := k.filesAt(ctx, c.Project, c.Live)
	if err != nil {
		return err
	}
	_, err = k.commit(ctx, c, "", func(files map[string][]byte) (map[string][]byte, error) {
		return chart.PutBack(files, live, c.Service, c.Colour)
	})
	return err
}

// coloursPart returns what the live colour alone has, at its commit.
func (k *Keeper) coloursPart(ctx context.Context, c controller.Change) (map[string][]byte, error) {
	snap, err := k.Git.Read(ctx, c.Project, c.Live)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range []string{chart.ValuesFile, chart.DeploymentFile(c.Service, c.Colour.Other())} {
		body, ok, err := snap.File(name)
		if err != nil {
			return nil, err
		}
		if ok {
			files[name] = body
		}
	}
	return files, nil
}

func (k *Keeper) filesAt(ctx context.Context, p fairway.ProjectName, commit string) (map[string][]byte, error) {
	snap, err := k.Git.Read(ctx, p, commit)
	if err != nil {
		return nil, err
	}
	return snap.Files("")
}

// SetWeights implements [controller.Configuration].
func (k *Keeper) SetWeights(ctx context.Context, c controller.Change, w fairway.Weights) (string, error) {
	return k.commit(ctx, c, chartDir, func(files map[string][]byte) (map[string][]byte, error) {
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
func (k *Keeper) Render(ctx context.Context, c controller.Change, commit string, a fairway.Artifact) (controller.Objects, error) {
	var none controller.Objects
	snap, err := k.at(ctx, c, commit)
	if err != nil {
		return none, err
	}
	files, err := snap.Files(chartDir)
	if err != nil {
		return none, err
	}
	own, err := snap.Files(chart.OwnDir(c.Service))
	if err != nil {
		return none, err
	}
	maps.Copy(files, own)
	r, err := helm.Render(ctx, files, helm.Release{
		Project: c.Project, Stage: c.Stage.Name, Namespace: c.Stage.Namespace,
		Service: c.Service, Colour: c.Colour, Artifact: a,
	})
	if err != nil {
		return none, err
	}
	out := controller.Objects{Manifests: manifests(r), Shared: r.Shared}
	if r.Random {
		out.Manifests, err = k.once(ctx, c, commit, a, out.Manifests)
	}
	return out, err
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

// MetricsSelect returns what the service's values say at the commit about how
// a Prometheus that Fairway did not set up tells its pods apart; nothing where
// they say nothing, or the service brings a chart of its own without values.
func (k *Keeper) MetricsSelect(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, commit string) (string, error) {
	snap, err := k.Git.Read(ctx, p, commit)
	if err != nil {
		return "", err
	}
	values, ok, err := snap.File(chart.ValuesFile)
	if err != nil || !ok {
		return "", err
	}
	v, err := chart.ServiceValues(map[string][]byte{chart.ValuesFile: values}, s)
	if fairway.KindOf(err) == fairway.KindNotFound {
		return "", nil
	}
	return v.Metrics.Select, err
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
