package demo

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// check asks gateway, git and API whether the promises were kept.
func (s *story) check(ctx context.Context, v2, v3 fairway.Delivery) error {
	s.acc.title("What came of it")
	var wrong []string
	promise := func(ok bool, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		s.acc.verdict(ok, text)
		if !ok {
			wrong = append(wrong, text)
		}
	}
	s.checkAnswers(promise)
	promise(v2.Status == fairway.StatusRejected && v2.Stage == "staging", "v2 (0.6.1-2) was turned away in staging: %s %s", v2.Status, v2.Stage)
	promise(v3.Status == fairway.StatusFinished, "v3 (0.6.2-3) reached the end: %s", v3.Status)
	mean2, mean3 := s.mean(ctx, v2), s.mean(ctx, v3)
	promise(mean2 >= 1.0, "the gate saw v2 answer in %.3f s on average, at least 1.0 s", mean2)
	promise(mean3 < 0.1, "the gate saw v3 answer in %.6f s on average, below 0.1 s", mean3)
	version, err := s.prober.ask(ctx)
	promise(err == nil && version == "v3", "production answers Version = %s %s", version, errText(err))
	s.checkGit(ctx, promise)
	s.checkRoute(ctx, promise)
	if len(wrong) > 0 {
		return fairway.Errorf(fairway.KindInternal, "%d promises were not kept:\n  %s", len(wrong), strings.Join(wrong, "\n  "))
	}
	return nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return "(" + err.Error() + ")"
}

func (s *story) checkAnswers(promise func(bool, string, ...any)) {
	p := s.prober
	p.mu.Lock()
	defer p.mu.Unlock()
	rate := float64(p.total) / p.lasted.Seconds()
	promise(p.total >= 1000 && rate >= 50, "production was asked %d times, %.0f a second: %d answers from v1, %d from v2, %d from v3", p.total, rate, p.answers["v1"], p.answers["v2"], p.answers["v3"])
	first := ""
	if len(p.failed) > 0 {
		first = ": " + p.failed[0]
	}
	promise(len(p.failed) == 0, "%d requests failed%s", len(p.failed), first)
	promise(p.answers["v2"] == 0, "no answer came from v2")
	promise(p.answers["v1"] > 0 && p.answers["v3"] > 0, "the traffic moved from v1 to v3")
}

// mean returns what the gate measured for the delivery's version in staging;
// NaN when it measured nothing.
func (s *story) mean(ctx context.Context, d fairway.Delivery) float64 {
	for _, st := range d.Stages {
		if st.Stage != "staging" || st.Evaluation == "" {
			continue
		}
		ev, err := s.client.Evaluation(ctx, st.Evaluation)
		if err != nil || len(ev.IndicatorResults) == 0 || len(ev.IndicatorResults[0].Samples) == 0 {
			return math.NaN()
		}
		var v float64
		if _, err := fmt.Sscan(ev.IndicatorResults[0].Samples[0].Text, &v); err != nil {
			return math.NaN()
		}
		return v
	}
	return math.NaN()
}

// checkGit clones the project as anybody can and reads production's branch.
func (s *story) checkGit(ctx context.Context, promise func(bool, string, ...any)) {
	repo, err := gogit.CloneContext(ctx, memory.NewStorage(), nil, &gogit.CloneOptions{
		URL: "http://" + s.app.Address() + "/git/sockshop.git", ReferenceName: plumbing.NewBranchReferenceName("production"),
		Auth: &githttp.BasicAuth{Username: "demo", Password: s.app.Token()},
	})
	if err != nil {
		promise(false, "git clone of the project: %v", err)
		return
	}
	files, err := filesOf(repo)
	if err != nil {
		promise(false, "read the clone: %v", err)
		return
	}
	blue, _, errB := chart.Image(files, "carts", fairway.Blue)
	green, _, errG := chart.Image(files, "carts", fairway.Green)
	weights, _, errW := chart.Weights(files, "carts")
	promise(errB == nil && errG == nil && blue.Tag == "0.6.0-1" && green.Tag == "0.6.2-3", "git says production has blue %s and green %s", blue.Tag, green.Tag)
	promise(errW == nil && weights.String() == "0/100", "git says the weights are blue/green %s", weights)
}

func filesOf(repo *gogit.Repository) (map[string][]byte, error) {
	head, err := repo.Head()
	if err != nil {
		return nil, err
	}
	commit, err := repo.CommitObject(head.Hash())
	if err != nil {
		return nil, err
	}
	it, err := commit.Files()
	if err != nil {
		return nil, err
	}
	defer it.Close()
	files := map[string][]byte{}
	for {
		f, err := it.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := f.Contents()
		if err != nil {
			return nil, err
		}
		files[f.Name] = []byte(text)
	}
}

// checkRoute asks what the gateway does and which version stands where.
func (s *story) checkRoute(ctx context.Context, promise func(bool, string, ...any)) {
	routes, err := s.client.Routes(ctx)
	if err != nil {
		promise(false, "ask for the routes: %v", err)
		return
	}
	for _, r := range routes {
		if r.Namespace != "production" || r.Service != "carts" {
			continue
		}
		at := map[fairway.Colour]string{}
		for _, b := range r.Backends {
			at[b.Place.Colour] = b.Version
		}
		promise(r.Weights.String() == "0/100" && at[fairway.Blue] == "0.6.0-1" && at[fairway.Green] == "0.6.2-3",
			"the gateway sends traffic blue/green %s, with blue %s and green %s running", r.Weights, at[fairway.Blue], at[fairway.Green])
		return
	}
	promise(false, "the gateway has no route to carts in production")
}
