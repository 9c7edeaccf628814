package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/blob"
)

// keepAnswers is how long an answer is kept for a repetition of its request.
const keepAnswers = 24 * time.Hour

// answers keeps what requests with a key of their own were answered.
type answers struct{ blobs *blob.Store }

// kept is an answer as it is stored.
type kept struct {
	At time.Time `json:"at"`
	api.Answer
}

// Answer implements [api.Answers].
func (a answers) Answer(ctx context.Context, name string) (api.Answer, bool, error) {
	b, err := a.blobs.Get(ctx, name)
	if fairway.KindOf(err) == fairway.KindNotFound && err != nil {
		return api.Answer{}, false, nil
	}
	if err != nil {
		return api.Answer{}, false, fmt.Errorf("read the answer to an earlier request: %w", err)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return api.Answer{}, false, fmt.Errorf("read the answer to an earlier request: %w", err)
	}
	return k.Answer, time.Since(k.At) < keepAnswers, nil
}

// Keep implements [api.Answers].
func (a answers) Keep(ctx context.Context, name string, x api.Answer) error {
	b, err := json.Marshal(kept{time.Now().UTC(), x})
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return a.blobs.Put(ctx, name, b)
}

// expire removes answers that are too old to be asked for.
func (a answers) expire(ctx context.Context) error {
	names, err := a.blobs.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, fresh, err := a.Answer(ctx, name); err != nil || !fresh {
			if err := a.blobs.Remove(ctx, name); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}
