package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/sequence"
)

// checkPush refuses a push that makes no sense, or comes at the wrong time.
func (a *App) checkPush(ctx context.Context, p git.Push) error {
	if !a.storing.Load() {
		return fairway.Errorf(fairway.KindUnavailable, "Fairway is starting or stopping; push again in a moment")
	}
	if err := a.full(); err != nil {
		return err
	}
	return a.keeper.CheckPush(ctx, p)
}

// afterPush stores what a push to git means; the client's answer waits for it.
// What cannot be stored now is tried again in the background.
func (a *App) afterPush(ctx context.Context, p git.Push) error {
	err := a.keeper.AfterPush(ctx, p)
	if err != nil {
		a.catchUpLater()
	}
	return err
}

// storePushed stores what a push means for a service, and waits until it is
// decided: whoever pushed sees at once what follows.
func (a *App) storePushed(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, in sequence.Pushed) error {
	if !a.storing.Load() {
		return fairway.Errorf(fairway.KindUnavailable, "Fairway is starting or stopping")
	}
	id := fmt.Sprintf("pushed:%s/%s@%s", s, in.Stage, in.Commit)
	ctx, cancel := context.WithTimeout(ctx, routeWait)
	defer cancel()
	_, err := a.control.Submit(ctx, p, s, id, sequence.Input{Pushed: &in})
	if errors.Is(err, controller.ErrStored) {
		return nil // which is what the client has to wait for
	}
	return err
}

// mayRoute asks the engine whether the weights make sense now.
func (a *App) mayRoute(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName, w fairway.Weights) error {
	dec, err := a.control.Submit(ctx, p, s, "command:"+rand.Text(), sequence.Input{Command: &sequence.Command{
		Verb: sequence.SetRoute, Stage: stage, Weights: w, Check: true,
	}})
	if err != nil {
		return err
	}
	return dec.Refused
}
