package nats

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fairwaycd/fairway"
)

// Forget removes an ended delivery's entries from the log, and then its row,
// so that what is interrupted in between is found again by the row. The log's
// last sequence stays, and with it the fence.
func (s *Store) Forget(ctx context.Context, d fairway.Delivery) error {
	shard := shardOf(d.Project, d.Service)
	subject := logSubject(shard, fairway.LogEntry{Project: d.Project, Service: d.Service, Delivery: d.ID})
	if err := s.purge(ctx, logName(shard), subject); err != nil {
		return err
	}
	// A purge of the stream leaves no marker behind, as a deletion of the key
	// would.
	return s.purge(ctx, "KV_view", "$KV.view."+endedKey(d))
}

func endedKey(d fairway.Delivery) string {
	return "d." + string(d.Project) + "." + string(d.Service) + "." + string(d.ID)
}

func (s *Store) purge(ctx context.Context, stream, subject string) error {
	st, err := s.js.Stream(ctx, stream)
	if err != nil {
		return classify("forget a delivery", err)
	}
	if err := st.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
		return classify("forget a delivery", err)
	}
	return nil
}
