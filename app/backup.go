package app

import (
	"context"
	"io"

	"github.com/fairwaycd/fairway/backup"
)

// Backup implements [api.Backend].
func (b *backend) Backup(ctx context.Context, secrets bool, w io.Writer) error {
	if err := b.taking(); err != nil {
		return err
	}
	b.o.Logger.Info("a backup is written", "actor", actorOf(ctx, ""), "secrets", secrets)
	return backup.Write(ctx, w, backup.Options{Dir: b.dir.Path(), Version: b.o.Version, Events: b.events.Copy, Secrets: secrets})
}
