// Package nats keeps events, decisions and snapshots in NATS JetStream.
//
// One decision is one message, so that there is no second write to be torn
// from it:
//
//	IN        in.<shard>.<project>.<service>               work queue: what others send
//	LOG_00…07 log.<shard>.<project>.<service>.<delivery>   decisions, fenced by the last sequence
//	KV_state  <project>.<service>                          snapshots: a cache, never the truth
//	KV_view   d.<project>.<service>.<delivery>             ended deliveries, for lists
//	KV_seen   hash of image and tag                        digests of the tags that were pushed
//
// A shard has one decider. Each append names the sequence that it expects to
// be the log's last; a second decider's append is refused with [fairway.ErrFenced].
package nats
