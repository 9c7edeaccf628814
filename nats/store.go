package nats

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fairwaycd/fairway"
)

// shards is the number of logs. It is fixed for the life of a data directory.
const shards = 8

// Limits of single messages, in bytes.
const (
	MaxInput  = 1 << 20
	MaxRecord = 4 << 20
)

// StoreOptions says where the store's streams are kept.
type StoreOptions struct {
	Replicas int   // 1 embedded, 3 on a cluster; default 1
	MaxQueue int64 // bytes of undecided inputs before senders are refused; default 256 MiB
}

// Store is the streams and buckets.
type Store struct {
	nc    *natsgo.Conn
	js    jetstream.JetStream
	state jetstream.KeyValue
	view  jetstream.KeyValue
	seen  jetstream.KeyValue

	mu         sync.Mutex
	connected  context.Context // ends when the connection breaks; then there is another
	disconnect context.CancelFunc
}

// OpenStore makes or opens the streams. It owns nc afterwards.
func OpenStore(ctx context.Context, nc *natsgo.Conn, o StoreOptions) (*Store, error) {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 256 << 20
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open the event store: %w", err)
	}
	s := &Store{nc: nc, js: js}
	s.connected, s.disconnect = context.WithCancel(context.WithoutCancel(ctx))
	nc.SetDisconnectErrHandler(func(*natsgo.Conn, error) { s.disconnected(context.WithoutCancel(ctx)) })
	if err := s.makeStreams(ctx, o); err != nil {
		return nil, err
	}
	for name, kv := range map[string]*jetstream.KeyValue{"state": &s.state, "view": &s.view, "seen": &s.seen} {
		*kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: 1, Replicas: o.Replicas, Compression: true})
		if err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", name, err)
		}
	}
	return s, nil
}

func (s *Store) makeStreams(ctx context.Context, o StoreOptions) error {
	meta := map[string]string{"fairway-shards": strconv.Itoa(shards)}
	if info, err := s.js.Stream(ctx, "IN"); err == nil {
		if got := info.CachedInfo().Config.Metadata["fairway-shards"]; got != meta["fairway-shards"] {
			return fairway.Errorf(fairway.KindConflict, "the data directory has %s shards and this version uses %d; it cannot be opened", got, shards)
		}
	}
	configs := []jetstream.StreamConfig{{
		Name: "IN", Subjects: []string{"in.>"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
		Duplicates: 2 * time.Minute, MaxMsgSize: MaxInput, MaxBytes: o.MaxQueue, Discard: jetstream.DiscardNew,
		Replicas: o.Replicas, Metadata: meta,
	}}
	for i := range shards {
		configs = append(configs, jetstream.StreamConfig{
			Name: logName(i), Subjects: []string{fmt.Sprintf("log.%02d.>", i)}, Retention: jetstream.LimitsPolicy,
			Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, AllowDirect: true, Duplicates: 100 * time.Millisecond,
			MaxMsgSize: MaxRecord, Compression: jetstream.S2Compression, Replicas: o.Replicas, Metadata: meta,
		})
	}
	for _, c := range configs {
		if _, err := s.js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("open stream %s: %w", c.Name, err)
		}
	}
	return nil
}

func logName(shard int) string { return fmt.Sprintf("LOG_%02d", shard) }

// Shards returns the number of logs.
func (s *Store) Shards() int { return shards }

// Shard returns the shard of a service.
func (s *Store) Shard(p fairway.ProjectName, sv fairway.ServiceName) int { return shardOf(p, sv) }

func shardOf(p fairway.ProjectName, s fairway.ServiceName) int {
	h := fnv.New32a()
	h.Write([]byte(string(p) + "." + string(s)))
	return int(h.Sum32() % shards)
}

// disconnected ends what reads the queue: what the broken connection had been
// handed is handed out again only to a new reader.
func (s *Store) disconnected(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnect()
	s.connected, s.disconnect = context.WithCancel(ctx)
}

func (s *Store) connection() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected
}

// Close closes the connection.
func (s *Store) Close() { s.nc.Close() }

// classify turns JetStream's errors into ours.
func classify(op string, err error) error {
	if errors.Is(err, natsgo.ErrMaxPayload) {
		return fmt.Errorf("%s: %w", op, fairway.ErrTooLarge)
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case 10071, 10164:
			return fmt.Errorf("%s: %w", op, fairway.ErrFenced)
		case 10054:
			return fmt.Errorf("%s: %w", op, fairway.ErrTooLarge)
		case 10023, 10047, 10077, 10122:
			return fairway.Retryable(fairway.Errorf(fairway.KindFull, "%s: the event store has no space left; free disk space: %w", op, err))
		}
	}
	return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "%s: %w", op, err))
}

// Publish stores an input. It returns only after the input is durable. The
// id suppresses repetitions within two minutes, which is an optimisation and
// no promise.
func (s *Store) Publish(ctx context.Context, p fairway.ProjectName, sv fairway.ServiceName, id string, body []byte) (uint64, error) {
	if len(body) > MaxInput {
		return 0, fairway.Invalid("event", strconv.Itoa(len(body))+" bytes", "is too large", fmt.Sprintf("send at most %d bytes", MaxInput))
	}
	subject := fmt.Sprintf("in.%02d.%s.%s", shardOf(p, sv), p, sv)
	ack, err := s.js.Publish(ctx, subject, body, jetstream.WithMsgID(id))
	if err != nil {
		return 0, classify("store the input", err)
	}
	return ack.Sequence, nil
}

// Inputs hands the shard's inputs to f, in order, until ctx ends. f must not
// return before the input is decided; an input that f does not acknowledge
// comes again after a restart.
func (s *Store) Inputs(ctx context.Context, shard int, f func(fairway.QueuedInput)) error {
	name := fmt.Sprintf("shard-%02d", shard)
	connected := s.connection()
	// A consumer that survived a crash holds what it had handed out until the
	// ack wait is over. The stream itself knows what is undecided, so a new
	// consumer begins with all of it at once.
	if err := s.js.DeleteConsumer(ctx, "IN", name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return classify("open the queue of the shard", err)
	}
	c, err := s.js.CreateOrUpdateConsumer(ctx, "IN", jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy,
		FilterSubject: fmt.Sprintf("in.%02d.>", shard), AckWait: 5 * time.Minute, MaxAckPending: 1000,
	})
	if err != nil {
		return classify("open the queue of the shard", err)
	}
	it, err := c.Messages(jetstream.PullMaxMessages(64))
	if err != nil {
		return classify("read the queue of the shard", err)
	}
	defer context.AfterFunc(ctx, it.Stop)()
	defer context.AfterFunc(connected, it.Stop)()
	defer it.Stop()
	for {
		msg, err := it.Next()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case connected.Err() != nil:
			return fairway.Retryable(fairway.Errorf(fairway.KindUnavailable, "read the queue of the shard: the event store was closed"))
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return nil
		default:
			return classify("read the queue of the shard", err)
		}
		in, err := inputOf(msg)
		if err != nil {
			return err
		}
		f(in)
	}
}

func inputOf(msg jetstream.Msg) (fairway.QueuedInput, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return fairway.QueuedInput{}, fmt.Errorf("read an input: %w", err)
	}
	_, p, sv, _, err := splitSubject(msg.Subject())
	if err != nil {
		return fairway.QueuedInput{}, err
	}
	return fairway.QueuedInput{Seq: meta.Sequence.Stream, Project: p, Service: sv, Body: msg.Data(), Ack: msg.Ack}, nil
}

// seenKey is the key of a tag pushed to Fairway's own registry, whatever
// address that had then.
func seenKey(a fairway.Artifact) string {
	h := fnv.New128a()
	h.Write([]byte(a.Path() + ":" + a.Tag))
	return hex.EncodeToString(h.Sum(nil))
}

// unwanted marks a digest whose push started nothing, since no service was
// there for it.
const unwanted = " unwanted"

// Seen returns the digest under which the tag was recorded last, or "", and
// whether a service was there for it.
func (s *Store) Seen(ctx context.Context, a fairway.Artifact) (digest string, wanted bool, err error) {
	e, err := s.seen.Get(ctx, seenKey(a))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, classify("look up the pushed tag", err)
	}
	digest, not := strings.CutSuffix(string(e.Value()), unwanted)
	return digest, !not, nil
}

// Unsee forgets the tag, whose image is no longer there: pushed again, it is
// new.
func (s *Store) Unsee(ctx context.Context, a fairway.Artifact) error {
	return s.purge(ctx, "KV_seen", "$KV.seen."+seenKey(a))
}

// MarkSeen records the tag's digest, and whether a service was there for it.
// It is called after its input is stored.
func (s *Store) MarkSeen(ctx context.Context, a fairway.Artifact, wanted bool) error {
	value := a.Digest
	if !wanted {
		value += unwanted
	}
	if _, err := s.seen.Put(ctx, seenKey(a), []byte(value)); err != nil {
		return classify("record the pushed tag", err)
	}
	return nil
}
