package api

import (
	"context"
	"net/http"
	"time"

	"github.com/fairwaycd/fairway"
)

// SubscriptionAdded is a subscription and its secret, which is told only once.
type SubscriptionAdded struct {
	fairway.Subscription
	Secret string `json:"secret"` // whsec_…, by which its events are signed
}

// ReplaySubscription asks to send events again.
type ReplaySubscription struct {
	ID fairway.SubscriptionID `json:"id"`
	// Since sends what is stored since then; without it, what was laid aside.
	Since time.Time `json:"since,omitzero"`
}

// subscriptions are the calls of [Backend] about subscriptions. A beginning of
// an id, of four letters or more, is enough where it names one alone.
type subscriptions interface {
	Subscriptions(ctx context.Context) ([]fairway.SubscriptionState, error)
	// AddSubscription sends what is stored from now on to a URL.
	AddSubscription(ctx context.Context, s fairway.Subscription) (SubscriptionAdded, error)
	RemoveSubscription(ctx context.Context, id fairway.SubscriptionID) (fairway.Subscription, error)
	// RotateSubscription makes another secret; the former signs too for a day.
	RotateSubscription(ctx context.Context, id fairway.SubscriptionID) (SubscriptionAdded, error)
	// TestSubscription sends one event at once. KindRefused says why it was
	// not taken.
	TestSubscription(ctx context.Context, id fairway.SubscriptionID) (fairway.SubscriptionState, error)
	ReplaySubscription(ctx context.Context, r ReplaySubscription) (fairway.SubscriptionState, error)
}

func (s *server) listSubscriptions(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	list, err := s.b.Subscriptions(r.Context())
	return answerList(w, http.StatusOK, list, err)
}

func (s *server) addSubscription(w http.ResponseWriter, r *http.Request) error {
	var q fairway.Subscription
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	done, err := s.b.AddSubscription(r.Context(), q)
	return answer(w, http.StatusCreated, done, err)
}

// aboutSubscription makes a handler of a call that takes an id alone.
func aboutSubscription[T any](s *server, f func(Backend, context.Context, fairway.SubscriptionID) (T, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := noQuery(r); err != nil {
			return err
		}
		done, err := f(s.b, r.Context(), fairway.SubscriptionID(r.PathValue("id")))
		return answer(w, http.StatusOK, done, err)
	}
}

func (s *server) replaySubscription(w http.ResponseWriter, r *http.Request) error {
	var q ReplaySubscription
	if err := s.decode(w, r, &q); err != nil {
		return err
	}
	if err := fromPath("id", &q.ID, r.PathValue("id")); err != nil {
		return err
	}
	done, err := s.b.ReplaySubscription(r.Context(), q)
	return answer(w, http.StatusAccepted, done, err)
}

// Subscriptions implements [Backend].
func (c *Client) Subscriptions(ctx context.Context) ([]fairway.SubscriptionState, error) {
	return getList[fairway.SubscriptionState](ctx, c, nil, "subscriptions")
}

// AddSubscription implements [Backend].
func (c *Client) AddSubscription(ctx context.Context, s fairway.Subscription) (SubscriptionAdded, error) {
	return ask[SubscriptionAdded](ctx, c, call{method: http.MethodPost, path: []string{"subscriptions"}, body: s})
}

// RemoveSubscription implements [Backend].
func (c *Client) RemoveSubscription(ctx context.Context, id fairway.SubscriptionID) (fairway.Subscription, error) {
	return ask[fairway.Subscription](ctx, c, call{method: http.MethodDelete, path: []string{"subscriptions", string(id)}})
}

// RotateSubscription implements [Backend].
func (c *Client) RotateSubscription(ctx context.Context, id fairway.SubscriptionID) (SubscriptionAdded, error) {
	return ask[SubscriptionAdded](ctx, c, call{method: http.MethodPost, path: []string{"subscriptions", string(id), "secret"}})
}

// TestSubscription implements [Backend].
func (c *Client) TestSubscription(ctx context.Context, id fairway.SubscriptionID) (fairway.SubscriptionState, error) {
	return ask[fairway.SubscriptionState](ctx, c, call{method: http.MethodPost, path: []string{"subscriptions", string(id), "test"}})
}

// ReplaySubscription implements [Backend].
func (c *Client) ReplaySubscription(ctx context.Context, r ReplaySubscription) (fairway.SubscriptionState, error) {
	return ask[fairway.SubscriptionState](ctx, c, call{method: http.MethodPost, path: []string{"subscriptions", string(r.ID), "replay"}, body: r})
}
