package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// shelf is a Backend with lists that grow while they are read.
type shelf struct {
	*memory
	projects   []api.Project
	deliveries []fairway.Delivery // the newest first
}

func (s *shelf) Projects(context.Context) ([]api.Project, error) { return s.projects, nil }

func (s *shelf) Deliveries(_ context.Context, f api.DeliveryFilter) (out []fairway.Delivery, err error) {
	for _, d := range s.deliveries {
		if len(out) < f.Limit && (f.Before.ID == "" || d.StartedAt.Before(f.Before.StartedAt)) {
			out = append(out, d)
		}
	}
	return out, nil
}

func (s *shelf) ServicePage(_ context.Context, f api.ServiceFilter) (p api.ServicePage, err error) {
	for i := range 7 {
		v := fairway.ServiceView{Project: "shop", Service: fairway.ServiceName(fmt.Sprint("s", i))}
		p.Total++
		if v.Service > f.After.Service && len(p.Items) < f.Limit {
			p.Items = append(p.Items, v)
		}
	}
	return p, nil
}

// items reads a list page by page, and calls f after each.
func items(t *testing.T, address, path string, f func()) (names []string) {
	t.Helper()
	cursor := ""
	for range 20 {
		resp, err := http.Get(address + "/api/v1/" + path + "&cursor=" + url.QueryEscape(cursor))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var page struct {
			Items []struct{ Name, ID, Service string }
			Next  string
		}
		if err != nil || json.Unmarshal(body, &page) != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v %s", path, resp.Status, err, body)
		}
		for _, i := range page.Items {
			names = append(names, i.Name+i.ID+i.Service)
		}
		if cursor = page.Next; cursor == "" {
			return names
		}
		f()
	}
	t.Fatalf("%s has no end", path)
	return nil
}

func TestListsHavePages(t *testing.T) {
	t.Parallel()
	s := &shelf{memory: newMemory()}
	for i := range 7 {
		s.projects = append(s.projects, api.Project{Name: fairway.ProjectName(fmt.Sprint("p", i))})
		s.deliveries = append(s.deliveries, fairway.Delivery{ID: fairway.DeliveryID(fmt.Sprint("d", i)), StartedAt: when.Add(-time.Duration(i) * time.Second)})
	}
	srv := httptest.NewServer(api.NewServer(s, api.ServerOptions{}))
	defer srv.Close()
	for path, first := range map[string]string{"projects?limit=2": "p", "deliveries?limit=3": "d", "services?limit=4": "s"} {
		s.deliveries = slices.DeleteFunc(s.deliveries, func(d fairway.Delivery) bool { return d.ID == "new" })
		got := items(t, srv.URL, path, func() { // what is new comes before, and moves nothing
			s.deliveries = slices.Insert(s.deliveries, 0, fairway.Delivery{ID: "new", StartedAt: when.Add(time.Duration(len(s.deliveries)) * time.Second)})
		})
		var want []string
		for i := range 7 {
			want = append(want, fmt.Sprint(first, i))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestWrongPagesAreRefused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(api.NewServer(newMemory(), api.ServerOptions{}))
	defer srv.Close()
	for path, says := range map[string]string{
		"projects?cursor=nonsense": "is not a cursor", "deliveries?cursor=cAB4": "is not a cursor", "deliveries?limit=1001": "at most 1000",
		"services?limit=-1": "is not a count", "events?cursor=x": "is not a cursor", "targets?limit=5000": "at most 1000",
	} {
		resp, err := http.Get(srv.URL + "/api/v1/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), says) {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
}
