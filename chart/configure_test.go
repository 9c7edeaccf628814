package chart_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

func art(tag string) fairway.Artifact { return fairway.Artifact{Image: "shop/carts", Tag: tag} }

// applied applies changes to a copy of the branch.
func applied(files, changes map[string][]byte) map[string][]byte {
	out := maps.Clone(files)
	for name, body := range changes {
		if body == nil {
			delete(out, name)
			continue
		}
		out[name] = body
	}
	return out
}

func edited(files map[string][]byte, file, old, new string) map[string][]byte {
	return applied(files, map[string][]byte{file: bytes.ReplaceAll(files[file], []byte(old), []byte(new))})
}

// live is a branch with carts beside carts-db, where blue has version 1 and
// the traffic.
func live(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, s := range []string{"carts", "carts-db"} {
		changes, _, err := chart.Onboard(files, chart.OnboardRequest{
			Project: "shop", Stage: fairway.Stage{Name: "live", DeploymentStrategy: fairway.BlueGreen}, Domain: "localhost",
			Values: []byte("service: {name: " + s + "}\nenv: {MODE: plain}\nreplicaCount: 1\n"),
		})
		if err != nil {
			t.Fatal(err)
		}
		files = applied(files, changes)
	}
	changes, err := chart.Configure(files, "carts", chart.Version{Artifact: art("1"), Colour: fairway.Blue, Source: fairway.Blue})
	if err != nil {
		t.Fatal(err)
	}
	files = applied(files, changes)
	if changes, err = chart.SetWeights(files, "carts", fairway.Full(fairway.Blue)); err != nil {
		t.Fatal(err)
	}
	return applied(files, changes)
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	truth := live(t)
	blue, green := chart.DeploymentFile("carts", fairway.Blue), chart.DeploymentFile("carts", fairway.Green)
	pushed := edited(truth, blue, "kind: Deployment", "kind: Deployment # pushed")
	pushed[chart.ValuesFile] = bytes.Replace(pushed[chart.ValuesFile], []byte("cartsBlue:"), []byte("cartsBlue:\n  extra: true"), 1)
	v := chart.Version{Artifact: art("1"), Colour: fairway.Green, From: pushed, Source: fairway.Blue, Live: truth}
	changes, err := chart.Configure(pushed, "carts", v)
	if err != nil {
		t.Fatal(err)
	}
	after := applied(pushed, changes)
	if !bytes.Equal(after[blue], truth[blue]) || !bytes.Contains(after[green], []byte("# pushed")) || bytes.Contains(after[green], []byte("artsBlue")) {
		t.Errorf("blue:\n%s\ngreen:\n%s", after[blue], after[green])
	}
	text := string(after[chart.ValuesFile])
	if b, g := section(text, "cartsBlue:"), section(text, "cartsGreen:"); strings.Contains(b, "extra") || !strings.Contains(g, "extra: true") || !strings.Contains(g, `tag: "1"`) || !strings.Contains(g, "name: carts-green") {
		t.Errorf("blue:\n%s\ngreen:\n%s", b, g)
	}
	if section(text, "cartsDbBlue:") != section(string(truth[chart.ValuesFile]), "cartsDbBlue:") {
		t.Error("another service changed")
	}
	again, err := chart.Configure(after, "carts", v)
	if err != nil || len(again) != 0 {
		t.Errorf("again: %d changes, error %v", len(again), err)
	}

	// It is turned away: green keeps it, all else is as it was.
	back, err := chart.PutBack(edited(after, chart.ServiceFile("carts"), "kind: Service", "kind: Service # pushed"), truth, "carts", fairway.Green)
	if err != nil {
		t.Fatal(err)
	}
	if _, kept := back[green]; kept || !bytes.Equal(back[chart.ServiceFile("carts")], truth[chart.ServiceFile("carts")]) || len(back) != 1 {
		t.Errorf("put back: %v", back)
	}

	// The next version runs with what has the traffic, not with what was tried.
	changes, err = chart.Configure(after, "carts", chart.Version{Artifact: art("2"), Colour: fairway.Green, Source: fairway.Green, Live: truth})
	if err != nil {
		t.Fatal(err)
	}
	next := applied(after, changes)
	if g := section(string(next[chart.ValuesFile]), "cartsGreen:"); strings.Contains(g, "extra") || !strings.Contains(g, `tag: "2"`) || !bytes.Equal(next[green], truth[green]) {
		t.Errorf("green:\n%s\n%s", g, next[green])
	}
}

// Replicas take effect in place, and stay through both.
func TestConfigureKeepsReplicas(t *testing.T) {
	t.Parallel()
	truth := live(t)
	now := edited(truth, chart.ValuesFile, "replicaCount: 1", "replicaCount: 3")
	changes, err := chart.Configure(now, "carts", chart.Version{Artifact: art("2"), Colour: fairway.Green, Source: fairway.Green, Live: truth})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(applied(now, changes)[chart.ValuesFile]); strings.Contains(text, "replicaCount: 1") {
		t.Errorf("replicas were lost:\n%s", text)
	}
}

// section returns the lines of a top-level key.
func section(text, key string) string {
	_, rest, _ := strings.Cut(text, "\n"+key)
	for i, line := range strings.SplitAfter(rest, "\n") {
		if i > 0 && line != "" && line[0] != ' ' {
			return strings.SplitN(rest, "\n"+line, 2)[0]
		}
	}
	return rest
}
