package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/fairwaycd/fairway"
)

// WriteAnyway writes to the event store without asking whether there is room,
// as a decision does that is under way when the disk fills.
func (a *App) WriteAnyway(ctx context.Context) error {
	b := make([]byte, 16<<10)
	rand.Read(b)
	return a.log.MarkSeen(ctx, fairway.Artifact{Image: "none/full", Tag: "1", Digest: hex.EncodeToString(b)}, false)
}

// AddElsewhere stores a registry without asking it.
func (a *App) AddElsewhere(r fairway.Registry) error { return a.elsewhere.Put(r) }
