package fairway

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"
)

// SubscriptionID names a subscription. It is a file name.
type SubscriptionID string

// Subscription sends events to a URL as they are stored.
type Subscription struct {
	ID  SubscriptionID `json:"id"`
	URL string         `json:"url"`
	// Types are patterns of event types, with or without what they begin with:
	// delivery.*, dev.fairway.delivery.finished, evaluation-done. Those and the
	// other lists let through what one of their members fits; empty, all.
	Types    []string      `json:"types,omitempty"`
	Projects []ProjectName `json:"projects,omitempty"`
	Services []ServiceName `json:"services,omitempty"`
	Stages   []StageName   `json:"stages,omitempty"`
	Results  []string      `json:"results,omitempty"`
	// Private lets the URL lead to this machine or a private network, also
	// without TLS.
	Private bool `json:"private,omitempty"`
	// Tries is how often an event is sent before it is laid aside, at least 1,
	// and MaxAgeSeconds how long that is tried; what comes first counts.
	Tries         int       `json:"tries"`
	MaxAgeSeconds int       `json:"maxAgeSeconds"`
	Actor         string    `json:"actor,omitempty"`
	CreatedAt     time.Time `json:"createdAt"`
}

// Defaults of [Subscription.Tries] and MaxAgeSeconds: with waits of up to ten minutes
// the tries last about a day.
const (
	DefaultTries         = 150
	DefaultMaxAgeSeconds = 24 * 60 * 60
)

// SubscriptionState is a subscription and how it does. It holds no secret.
type SubscriptionState struct {
	Subscription
	Sent    uint64     `json:"sent"`    // since the start of the process
	Waiting int        `json:"waiting"` // events that are read and not yet sent
	Tried   int        `json:"tried"`   // how often the first of them failed
	Error   string     `json:"error,omitempty"`
	Next    *time.Time `json:"next,omitempty"` // when it is tried again
	Dead    int        `json:"dead"`           // events that were laid aside
	Dropped uint64     `json:"dropped"`        // of those, let go of for want of room, since the start
}

// WithDefaults fills in what is left out.
func (s Subscription) WithDefaults() Subscription {
	if s.Tries == 0 {
		s.Tries = DefaultTries
	}
	if s.MaxAgeSeconds == 0 {
		s.MaxAgeSeconds = DefaultMaxAgeSeconds
	}
	return s
}

// Validate reports everything that is wrong at once.
func (s Subscription) Validate() error {
	var ps []Problem
	add := func(field, value, message, remedy string) {
		ps = append(ps, Problem{Field: field, Value: value, Message: message, Remedy: remedy})
	}
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		value := s.URL
		if strings.Contains(value, "@") { // what cannot be read may hold a password
			value = ""
		}
		add("url", value, "is not an http or https URL", "write where events are received, e.g. https://ci.example.com/events")
	case u.User != nil:
		add("url", "", "holds credentials", "leave them out; the receiver knows Fairway by the signature of each event")
	case u.Fragment != "":
		add("url", s.URL, "has a fragment, which is never sent", "leave out what follows the #")
	case u.Scheme == "http" && !s.Private:
		add("url", s.URL, "is without TLS, so that everybody on the way could read and change events", "use https, or say that it stays on this machine or a private network: --private")
	}
	for _, t := range s.Types {
		if _, err := path.Match(t, ""); err != nil || t == "" {
			add("types", t, "is not a pattern of event types", "write a type, or a part of it with *, such as delivery.*")
		}
	}
	for _, list := range []struct {
		field string
		all   []error
	}{{"projects", validateAll(s.Projects)}, {"services", validateAll(s.Services)}, {"stages", validateAll(s.Stages)}} {
		for _, err := range list.all {
			ps = append(ps, Problems(err)...)
		}
	}
	if s.Tries < 1 || s.Tries > 1000 {
		add("tries", fmt.Sprint(s.Tries), "is not from 1 to 1000", "write how often an event is sent before it is laid aside")
	}
	if s.MaxAgeSeconds < 1 || s.MaxAgeSeconds > 30*24*60*60 {
		add("maxAgeSeconds", fmt.Sprint(s.MaxAgeSeconds), "is not from a second to 30 days", "write how long an event is tried before it is laid aside")
	}
	return InvalidAll(ps)
}

func validateAll[T interface{ Validate() error }](list []T) []error {
	var errs []error
	for _, v := range list {
		if err := v.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Wants reports whether the subscription gets the event.
func (s Subscription) Wants(e Event, d EventData) bool {
	return s.wantsType(e.Type) && among(s.Projects, d.Project) && among(s.Services, d.Service) && among(s.Stages, d.Stage) && among(s.Results, d.Result)
}

func (s Subscription) wantsType(typ string) bool {
	short := ShortType(typ)
	for _, pattern := range s.Types {
		for _, t := range []string{typ, short} {
			if ok, err := path.Match(pattern, t); ok && err == nil {
				return true
			}
		}
	}
	return len(s.Types) == 0
}

// ShortType is an event type without what all types of its family begin with.
func ShortType(typ string) string {
	return strings.TrimPrefix(strings.TrimPrefix(typ, "sh.keptn.events."), "dev.fairway.")
}

func among[T comparable](list []T, v T) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return len(list) == 0
}
