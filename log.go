package fairway

import (
	"context"
	"errors"
	"time"
)

// ErrFenced says that somebody else appended to a shard's log: the caller no
// longer owns the shard, or an append of its own was stored and its answer
// lost.
var ErrFenced = errors.New("the shard's log has moved on")

// ErrTooLarge says that a record is larger than the log takes. Trying again
// does not help.
var ErrTooLarge = errors.New("the record is larger than the log takes")

// LogEntry is one stored decision.
type LogEntry struct {
	Seq      uint64
	Project  ProjectName
	Service  ServiceName
	Delivery DeliveryID // empty when it is about the service itself
	Body     []byte
	Time     time.Time
}

// QueuedInput is a stored input that waits for its decision.
type QueuedInput struct {
	Seq     uint64
	Project ProjectName
	Service ServiceName
	Body    []byte
	// Ack removes the input from the queue; it is called after the decision
	// is stored.
	Ack func() error
}

// Log keeps inputs until they are decided, decisions until they are forgotten,
// and snapshots to start from. Services are spread over a fixed number of shards; a shard
// has one decider.
type Log interface {
	Shards() int
	Shard(ProjectName, ServiceName) int
	// Publish stores an input durably. The id suppresses repetitions for a
	// short while, which is an optimisation and no promise.
	Publish(ctx context.Context, p ProjectName, s ServiceName, id string, body []byte) (seq uint64, err error)
	// Inputs hands the shard's undecided inputs to f, in order, until ctx ends.
	Inputs(ctx context.Context, shard int, f func(QueuedInput)) error
	// Append stores a decision if last is still the log's last sequence, else
	// it returns [ErrFenced], or [ErrTooLarge] when it can never be stored.
	Append(ctx context.Context, shard int, e LogEntry, last uint64) (seq uint64, err error)
	Last(ctx context.Context, shard int) (uint64, error)
	// Replay hands what is stored from sequence from on to f, in order.
	Replay(ctx context.Context, shard int, from uint64, f func(LogEntry) error) error
	// Entry returns one stored decision.
	Entry(ctx context.Context, shard int, seq uint64) (LogEntry, error)
	// History hands one delivery's entries to f, in order.
	History(ctx context.Context, p ProjectName, s ServiceName, d DeliveryID, f func(LogEntry) error) error

	SaveState(ctx context.Context, p ProjectName, s ServiceName, body []byte) error
	SaveEnded(ctx context.Context, d Delivery, body []byte) error
	SaveFloor(ctx context.Context, shard int, body []byte) error
	Floor(ctx context.Context, shard int) ([]byte, error)
	LoadStates(ctx context.Context, f func(body []byte) error) error
	LoadEnded(ctx context.Context, f func(body []byte) error) error
	// Forget removes an ended delivery's decisions, and then its row. Called
	// again, it goes on where it was interrupted.
	Forget(ctx context.Context, d Delivery) error
}
