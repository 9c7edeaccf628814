package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fairwaycd/fairway"
)

// noDelivery stands in subjects where a record is about the service itself.
const noDelivery = "_"

// Append stores a decision at the end of the shard's log if last is still the
// log's last sequence, and returns its own. It returns [fairway.ErrFenced] when it is
// not: somebody else has written, or an earlier append of ours whose answer
// was lost has; the caller reads the tail to know. A record above
// [MaxRecord] bytes gives [fairway.ErrTooLarge].
func (s *Store) Append(ctx context.Context, shard int, e fairway.LogEntry, last uint64) (uint64, error) {
	msg := &natsgo.Msg{Subject: logSubject(shard, e), Data: e.Body, Header: natsgo.Header{}}
	ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequence(last))
	if err != nil {
		return 0, classify("store the decision", err)
	}
	return ack.Sequence, nil
}

func logSubject(shard int, e fairway.LogEntry) string {
	d := string(e.Delivery)
	if d == "" {
		d = noDelivery
	}
	return fmt.Sprintf("log.%02d.%s.%s.%s", shard, e.Project, e.Service, d)
}

func splitSubject(subject string) (kind string, p fairway.ProjectName, s fairway.ServiceName, d fairway.DeliveryID, err error) {
	t := strings.Split(subject, ".")
	if len(t) < 4 {
		return "", "", "", "", fmt.Errorf("subject %q is not one of ours", subject)
	}
	if len(t) > 4 && t[4] != noDelivery {
		d = fairway.DeliveryID(t[4])
	}
	return t[0], fairway.ProjectName(t[2]), fairway.ServiceName(t[3]), d, nil
}

// Last returns the last sequence of the shard's log, 0 when it is empty.
func (s *Store) Last(ctx context.Context, shard int) (uint64, error) {
	st, err := s.js.Stream(ctx, logName(shard))
	if err != nil {
		return 0, classify("read the log", err)
	}
	info, err := st.Info(ctx)
	if err != nil {
		return 0, classify("read the log", err)
	}
	return info.State.LastSeq, nil
}

// Replay hands the log's entries from sequence from on to f, in order.
func (s *Store) Replay(ctx context.Context, shard int, from uint64, f func(fairway.LogEntry) error) error {
	return s.read(ctx, shard, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
	}, f)
}

// Entry returns the log's entry of that sequence.
func (s *Store) Entry(ctx context.Context, shard int, seq uint64) (fairway.LogEntry, error) {
	st, err := s.js.Stream(ctx, logName(shard))
	if err != nil {
		return fairway.LogEntry{}, classify("read the log", err)
	}
	msg, err := st.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fairway.LogEntry{}, fairway.Errorf(fairway.KindNotFound, "the log of shard %d has no entry %d", shard, seq)
	}
	if err != nil {
		return fairway.LogEntry{}, classify("read the log", err)
	}
	_, p, sv, d, err := splitSubject(msg.Subject)
	if err != nil {
		return fairway.LogEntry{}, err
	}
	return fairway.LogEntry{Seq: msg.Sequence, Project: p, Service: sv, Delivery: d, Body: msg.Data, Time: msg.Time}, nil
}

// History hands one delivery's entries to f, in order.
func (s *Store) History(ctx context.Context, p fairway.ProjectName, sv fairway.ServiceName, d fairway.DeliveryID, f func(fairway.LogEntry) error) error {
	shard := shardOf(p, sv)
	return s.read(ctx, shard, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{logSubject(shard, fairway.LogEntry{Project: p, Service: sv, Delivery: d})},
	}, f)
}

// read consumes what is stored now and returns; it does not wait for more.
func (s *Store) read(ctx context.Context, shard int, c jetstream.OrderedConsumerConfig, f func(fairway.LogEntry) error) error {
	st, err := s.js.Stream(ctx, logName(shard))
	if err != nil {
		return classify("read the log", err)
	}
	cons, err := st.OrderedConsumer(ctx, c)
	if err != nil {
		return classify("read the log", err)
	}
	// Left alone it would go after five minutes; until then a stream holds no
	// more than a few hundred of them.
	defer func() {
		if last := cons.CachedInfo(); last != nil {
			_ = st.DeleteConsumer(context.WithoutCancel(ctx), last.Name)
		}
	}()
	info, err := cons.Info(ctx)
	if err != nil {
		return classify("read the log", err)
	}
	for left := info.NumPending; left > 0; {
		batch, err := cons.Fetch(int(min(left, 200)), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			return classify("read the log", err)
		}
		n := uint64(0)
		for msg := range batch.Messages() {
			n++
			e, err := entryOf(msg)
			if err != nil {
				return err
			}
			if err := f(e); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil {
			return classify("read the log", err)
		}
		if n == 0 {
			return fairway.Errorf(fairway.KindUnavailable, "read the log: %d entries of shard %d did not come", left, shard)
		}
		left -= min(n, left)
	}
	return nil
}

func entryOf(msg jetstream.Msg) (fairway.LogEntry, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return fairway.LogEntry{}, fmt.Errorf("read the log: %w", err)
	}
	_, p, sv, d, err := splitSubject(msg.Subject())
	if err != nil {
		return fairway.LogEntry{}, err
	}
	return fairway.LogEntry{Seq: meta.Sequence.Stream, Project: p, Service: sv, Delivery: d, Body: msg.Data(), Time: meta.Timestamp}, nil
}

// SaveState stores a service's snapshot.
func (s *Store) SaveState(ctx context.Context, p fairway.ProjectName, sv fairway.ServiceName, body []byte) error {
	return put(ctx, s.state, string(p)+"."+string(sv), body)
}

// SaveEnded stores an ended delivery's row for lists.
func (s *Store) SaveEnded(ctx context.Context, d fairway.Delivery, body []byte) error {
	return put(ctx, s.view, endedKey(d), body)
}

// SaveFloor stores the log sequence up to which snapshots and rows are stored.
func (s *Store) SaveFloor(ctx context.Context, shard int, body []byte) error {
	return put(ctx, s.view, fmt.Sprintf("floor.%02d", shard), body)
}

func put(ctx context.Context, kv jetstream.KeyValue, key string, body []byte) error {
	if _, err := kv.Put(ctx, key, body); err != nil {
		return classify("store the snapshot", err)
	}
	return nil
}

// Floor returns what [Store.SaveFloor] stored last, or nil.
func (s *Store) Floor(ctx context.Context, shard int) ([]byte, error) {
	e, err := s.view.Get(ctx, fmt.Sprintf("floor.%02d", shard))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, classify("read the snapshot", err)
	}
	return e.Value(), nil
}

// LoadStates hands every snapshot to f.
func (s *Store) LoadStates(ctx context.Context, f func(body []byte) error) error {
	return loadAll(ctx, s.state, ">", f)
}

// LoadEnded hands every ended delivery's row to f.
func (s *Store) LoadEnded(ctx context.Context, f func(body []byte) error) error {
	return loadAll(ctx, s.view, "d.>", f)
}

func loadAll(ctx context.Context, kv jetstream.KeyValue, keys string, f func([]byte) error) error {
	w, err := kv.Watch(ctx, keys, jetstream.IgnoreDeletes())
	if err != nil {
		return classify("read the snapshots", err)
	}
	defer w.Stop()
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return fairway.Errorf(fairway.KindUnavailable, "read the snapshots: the connection ended before all of them had come")
			}
			if e == nil {
				return ctx.Err()
			}
			if err := f(e.Value()); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
