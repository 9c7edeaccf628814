package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// How many items a list has at once.
const (
	usualLimit = 100
	mostLimit  = 1000
)

// list is the document of every list. Next leads to what follows, where there
// may be more: it is the cursor of the next request.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
	// Total is how many items there are on all pages; lists that would have to
	// be looked through for it leave it out.
	Total *int `json:"total,omitempty"`
}

// listOf makes a list whose items are never null.
func listOf[T any](items []T) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{Items: items}
}

// Position is a place in the list of deliveries, behind the one that started
// then and has that id; it stays what it is when that one is gone. The zero
// value is the beginning.
type Position struct {
	StartedAt time.Time
	ID        fairway.DeliveryID
}

// PositionOf returns the place behind a delivery.
func PositionOf(d fairway.Delivery) Position { return Position{d.StartedAt, d.ID} }

// ServiceKey is a place in the list of services, behind that service. The zero
// value is the beginning.
type ServiceKey struct {
	Project fairway.ProjectName
	Service fairway.ServiceName
}

// ServiceFilter selects services; empty fields select all. Text is a part of
// PROJECT/SERVICE, in whatever case. Stage selects what has a version or a
// delivery in that stage. A Limit of 0 leaves the bound to the Backend.
type ServiceFilter struct {
	Project fairway.ProjectName
	Text    string
	Stage   fairway.StageName
	After   ServiceKey
	Limit   int
}

// ServicePage is a part of the list of services, by project and name. There
// may be more when it has as many as were asked for.
type ServicePage struct {
	Items []fairway.ServiceView
	Total int // that the filter selects, on all pages
}

// cursor writes a place of a list as an opaque text, kind of the list first.
func cursor(kind string, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + "\x00" + strings.Join(parts, "\x00")))
}

// place reads the parameter "cursor" of a list of that kind; nil when there is
// none.
func (p *params) place(kind string, parts int) []string {
	text := p.text("cursor")
	if text == "" {
		return nil
	}
	if b, err := base64.RawURLEncoding.DecodeString(text); err == nil {
		if have := strings.Split(string(b), "\x00"); len(have) == parts+1 && have[0] == kind {
			return have[1:]
		}
	}
	p.add("cursor", text, "is not a cursor of this list", "send next of the page before, or leave it out")
	return nil
}

// limit returns the parameter of that name, or usual when there is none.
func (p *params) limit(usual, most int) int {
	n := int(p.number("limit", 31))
	if n > most {
		p.add("limit", p.text("limit"), "is more than one page has", "write at most "+strconv.Itoa(most)+" and follow next")
	}
	if n == 0 {
		return usual
	}
	return n
}

// position reads a cursor of the list of deliveries.
func (p *params) position() (at Position) {
	parts := p.place("d", 2)
	if parts == nil {
		return at
	}
	t, err := time.Parse(time.RFC3339Nano, parts[0])
	if err != nil {
		p.add("cursor", p.text("cursor"), "is not a cursor of this list", "send next of the page before, or leave it out")
	}
	return Position{t, fairway.DeliveryID(parts[1])}
}

func (p Position) cursor() string {
	if p == (Position{}) {
		return ""
	}
	return cursor("d", p.StartedAt.UTC().Format(time.RFC3339Nano), string(p.ID))
}

func (k ServiceKey) cursor() string {
	if k == (ServiceKey{}) {
		return ""
	}
	return cursor("s", string(k.Project), string(k.Service))
}

// answerPart answers with one page of a list that is here whole; key orders
// it and tells its items apart.
func answerPart[T any](w http.ResponseWriter, r *http.Request, kind string, all []T, key func(T) string) error {
	q, err := query(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, after := q.limit(usualLimit, mostLimit), q.place(kind, 1)
	if err := q.err(); err != nil {
		return err
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	total := len(all)
	if after != nil {
		at, _ := slices.BinarySearchFunc(all, after[0], func(x T, k string) int {
			if key(x) <= k {
				return -1
			}
			return 1
		})
		all = all[at:]
	}
	l := listOf(all[:min(limit, len(all))])
	if len(all) > limit {
		l.Next = cursor(kind, key(all[limit-1]))
	}
	l.Total = &total
	return writeJSON(w, http.StatusOK, l)
}

// getAll asks for a list page by page, until it has ended or has as many
// items as wanted; 0 means all.
func getAll[T any](ctx context.Context, c *Client, query url.Values, want int, path ...string) ([]T, error) {
	if query == nil {
		query = url.Values{}
	}
	var all []T
	for {
		limit := mostLimit
		if want > 0 {
			limit = min(limit, want-len(all))
		}
		query.Set("limit", strconv.Itoa(limit))
		l, err := get[list[T]](ctx, c, query, path...)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = l.Items
		} else {
			all = append(all, l.Items...)
		}
		if l.Next == "" || want > 0 && len(all) >= want {
			return all, nil
		}
		query.Set("cursor", l.Next)
	}
}
