package nats

import (
	"context"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamLoad is how much a stream or bucket holds.
type StreamLoad struct {
	Name     string
	Messages uint64
	Bytes    uint64
	Limit    int64  // bytes at which it takes no more; 0 when only the disk ends it
	Last     uint64 // sequence of the last message
}

// Load is how much the store holds, and how many inputs wait in each shard for
// their decision.
type Load struct {
	Streams []StreamLoad // the queue, the logs and the buckets, in this order
	Waiting []int        // by shard
}

// Load looks at every stream once.
func (s *Store) Load(ctx context.Context) (Load, error) {
	l := Load{Waiting: make([]int, shards)}
	names := []string{"IN"}
	for i := range shards {
		names = append(names, logName(i))
	}
	for _, kv := range []jetstream.KeyValue{s.state, s.view, s.seen} {
		names = append(names, "KV_"+kv.Bucket())
	}
	for _, name := range names {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return Load{}, classify("look at stream "+name, err)
		}
		info := stream.CachedInfo()
		l.Streams = append(l.Streams, StreamLoad{Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, Limit: max(info.Config.MaxBytes, 0), Last: info.State.LastSeq})
		if name != "IN" || info.State.Msgs == 0 {
			continue
		}
		whole, err := stream.Info(ctx, jetstream.WithSubjectFilter("in.>"))
		if err != nil {
			return Load{}, classify("look at the queue", err)
		}
		for subject, n := range whole.State.Subjects {
			shard, _, _ := strings.Cut(strings.TrimPrefix(subject, "in."), ".")
			if i, err := strconv.Atoi(shard); err == nil && i < shards {
				l.Waiting[i] += int(n)
			}
		}
	}
	return l, nil
}
