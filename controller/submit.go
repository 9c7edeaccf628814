package controller

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// ErrStored says that an input is stored and will be decided, though not while
// somebody waited for it.
var ErrStored = errors.New("the request is stored")

// Submit stores an input and waits for its decision. When ctx ends first, the
// input is stored all the same and will be decided. The queue must not
// suppress it as a repetition, since nobody would be told a decision then:
// what is a repetition is the engine's to say.
func (c *Controller) Submit(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, id string, in sequence.Input) (sequence.Decision, error) {
	token := rand.Text()
	ch := c.waiters.expect(token)
	defer c.waiters.forget(token)
	if err := c.publish(ctx, p, s, id+"#"+token, envelope{Token: token, Input: in}); err != nil {
		return sequence.Decision{}, err
	}
	select {
	case d := <-ch:
		return d, nil
	case <-ctx.Done():
		return sequence.Decision{}, fairway.Errorf(fairway.KindUnavailable, "%w but not decided yet: %w", ErrStored, context.Cause(ctx))
	case <-c.ctx.Done():
		return sequence.Decision{}, fairway.Errorf(fairway.KindUnavailable, "Fairway is stopping; %w and will be decided at the next start", ErrStored)
	}
}

// Store stores an input and does not wait for its decision.
func (c *Controller) Store(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, id string, in sequence.Input) error {
	return c.publish(ctx, p, s, id, envelope{Input: in})
}

func (c *Controller) publish(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, id string, env envelope) error {
	body, err := json.Marshal(env)
	if err != nil {
		return fmt.Errorf("encode the input: %w", err)
	}
	c.Failpoint("event.before-append")
	if _, err := c.Log.Publish(ctx, p, s, id, body); err != nil {
		return err
	}
	c.Failpoint("event.after-append")
	return nil
}
