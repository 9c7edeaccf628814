package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/sequence"
	"github.com/fairwaycd/fairway/subscription"
)

func (a *App) openSubscriptions(context.Context) (err error) {
	a.sending = newSending()
	a.subscriptions, err = subscription.Open(subscription.Options{
		Traceparent: a.traceOf(),
		Dir:         a.dir.Path("subscriptions"), Source: eventLog{a.log, a.view}, Logger: a.o.Logger.With("component", "subscription"),
		Observe: func(id fairway.SubscriptionID, outcome string) {
			a.sending.WithLabelValues(string(id), outcome).Inc()
		},
	})
	return err
}

// eventLog hands the stored events to those who read all of them.
type eventLog struct {
	log  fairway.Log
	view *controller.View
}

var _ subscription.Source = eventLog{}

// Shards implements [subscription.Source].
func (s eventLog) Shards() int { return s.log.Shards() }

// Last implements [subscription.Source].
func (s eventLog) Last(ctx context.Context, shard int) (uint64, error) { return s.log.Last(ctx, shard) }

// Changed implements [subscription.Source].
func (s eventLog) Changed() (<-chan struct{}, func()) { return s.view.Watch() }

// errEnough ends a replay early.
var errEnough = errors.New("enough")

// nearby is how many sequences are asked for one by one: what is new is mostly
// a few entries, and a replay costs more than these.
const nearby = 32

// each hands at most limit entries after seq to f, in order.
func (s eventLog) each(ctx context.Context, shard int, seq uint64, limit int, f func(fairway.LogEntry) error) error {
	last, err := s.log.Last(ctx, shard)
	if err != nil || last <= seq {
		return err
	}
	n := 0
	add := func(e fairway.LogEntry) error {
		if n == limit {
			return errEnough
		}
		n++
		return f(e)
	}
	if last-seq > nearby {
		if err = s.log.Replay(ctx, shard, seq+1, add); errors.Is(err, errEnough) {
			err = nil
		}
		return err
	}
	for at := seq + 1; at <= last && n < limit; at++ {
		e, err := s.log.Entry(ctx, shard, at)
		if err == nil {
			err = add(e)
		} else if fairway.KindOf(err) == fairway.KindNotFound {
			err = nil // expired
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// After implements [subscription.Source].
func (s eventLog) After(ctx context.Context, shard int, seq uint64, limit int) ([]subscription.Entry, error) {
	var out []subscription.Entry
	err := s.each(ctx, shard, seq, limit, func(e fairway.LogEntry) error {
		events, err := controller.EventsOf(e)
		out = append(out, subscription.Entry{Seq: e.Seq, At: e.Time, Events: events})
		return err
	})
	return out, err
}

// Subscriptions implements [api.Backend].
func (b *backend) Subscriptions(context.Context) ([]fairway.SubscriptionState, error) {
	return b.subscriptions.List(), nil
}

// AddSubscription implements [api.Backend].
func (b *backend) AddSubscription(ctx context.Context, s fairway.Subscription) (api.SubscriptionAdded, error) {
	if err := b.taking(); err != nil {
		return api.SubscriptionAdded{}, err
	}
	for _, p := range s.Projects {
		if _, err := b.keeper.Project(ctx, p); err != nil {
			return api.SubscriptionAdded{}, err
		}
	}
	s.Actor = actorOf(ctx, "")
	made, secret, err := b.subscriptions.Add(ctx, s)
	if err != nil {
		return api.SubscriptionAdded{}, err
	}
	return api.SubscriptionAdded{Subscription: made, Secret: string(secret)}, b.tellSubscription(ctx, made, "%s subscribed to events:")
}

// RemoveSubscription implements [api.Backend].
func (b *backend) RemoveSubscription(ctx context.Context, id fairway.SubscriptionID) (fairway.Subscription, error) {
	if err := b.taking(); err != nil {
		return fairway.Subscription{}, err
	}
	was, err := b.subscriptions.Remove(id)
	if err != nil {
		return was, err
	}
	return was, b.tellSubscription(ctx, was, "%s removed the subscription of")
}

// RotateSubscription implements [api.Backend].
func (b *backend) RotateSubscription(ctx context.Context, id fairway.SubscriptionID) (api.SubscriptionAdded, error) {
	if err := b.taking(); err != nil {
		return api.SubscriptionAdded{}, err
	}
	s, secret, err := b.subscriptions.Rotate(id)
	if err != nil {
		return api.SubscriptionAdded{}, err
	}
	return api.SubscriptionAdded{Subscription: s, Secret: string(secret)}, b.tellSubscription(ctx, s, "%s gave another secret to the subscription of")
}

// TestSubscription implements [api.Backend].
func (b *backend) TestSubscription(ctx context.Context, id fairway.SubscriptionID) (fairway.SubscriptionState, error) {
	return b.subscriptions.Test(ctx, id)
}

// ReplaySubscription implements [api.Backend].
func (b *backend) ReplaySubscription(_ context.Context, r api.ReplaySubscription) (fairway.SubscriptionState, error) {
	return b.subscriptions.Replay(r.ID, r.Since)
}

// tellSubscription stores who changed a subscription.
func (b *backend) tellSubscription(ctx context.Context, s fairway.Subscription, format string) error {
	actor := actorOf(ctx, "a request")
	detail, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	data, err := json.Marshal(fairway.EventData{Actor: actor, Detail: detail})
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	id := "subscription:" + rand.Text()
	e := fairway.Event{
		SpecVersion: "1.0", ID: id, Source: ownSource + "subscriptions", Type: fairway.TypeSubscriptionChanged, Time: time.Now().UTC(),
		Subject: string(s.ID), ContentType: "application/json", Reason: fmt.Sprintf(format, actor) + " " + s.URL, Data: data,
	}
	if _, err := b.control.Submit(context.WithoutCancel(ctx), nobody, nobody, id, sequence.Input{Foreign: &e}); err != nil {
		return fmt.Errorf("the subscription is as you want it, but the event of it could not be stored: %w", err)
	}
	return nil
}

// newSending counts what came of sending events to subscriptions.
func newSending() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairway_subscription_attempts_total", Help: "Attempts to send an event to a subscription, by outcome: sent, failed, dead (laid aside).",
	}, []string{"subscription", "outcome"})
}

var (
	waitingDesc = prometheus.NewDesc("fairway_subscription_waiting", "Events that a subscription has read and not yet sent.", []string{"subscription"}, nil)
	deadDesc    = prometheus.NewDesc("fairway_subscription_dead", "Events of a subscription that were laid aside.", []string{"subscription"}, nil)
)

// subscriptionStates exposes how subscriptions do.
type subscriptionStates struct{ of *subscription.Dispatcher }

func (s subscriptionStates) Describe(ch chan<- *prometheus.Desc) { ch <- waitingDesc; ch <- deadDesc }

func (s subscriptionStates) Collect(ch chan<- prometheus.Metric) {
	for _, st := range s.of.List() {
		ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(st.Waiting), string(st.ID))
		ch <- prometheus.MustNewConstMetric(deadDesc, prometheus.GaugeValue, float64(st.Dead), string(st.ID))
	}
}
