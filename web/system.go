package web

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/fairwaycd/fairway/api"
)

// systemPage is what the page of the system shows.
type systemPage struct {
	api.System
	Moving   int // deliveries under way
	Ended    int
	DiskUsed float64 // percent
	Stores   []storeLine
	Targets  []api.TargetState
	Down     int
	Problems []string
}

// storeLine is a part of the storage, beside the largest one.
type storeLine struct {
	api.Storage
	What  string
	Width float64 // percent of the largest
}

// storeNames say what lies in the directories that hold something of weight.
var storeNames = map[string]string{
	"nats": "events and states", "git": "configuration", "registry": "images as pushed", "images": "images unpacked", "metrics": "metrics",
	"evaluations": "evaluations and test reports", "run": "programs and their output", "rendered": "rendered charts", "tests": "tests under way",
	"ballast": "set aside for a full disk",
}

func (c *console) system(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	s, err := c.backend.System(ctx)
	if err != nil {
		return err
	}
	page := systemPage{System: s}
	for status, n := range s.Counts {
		if status == "running" || status == "waiting" {
			page.Moving += n
		} else {
			page.Ended += n
		}
	}
	if s.Disk.Total > 0 {
		page.DiskUsed = 100 * float64(s.Disk.Total-s.Disk.Free) / float64(s.Disk.Total)
	}
	largest := int64(1)
	for _, x := range s.Storage {
		if what := storeNames[x.Name]; what != "" {
			page.Stores = append(page.Stores, storeLine{Storage: x, What: what})
			largest = max(largest, x.Bytes)
		}
	}
	for i := range page.Stores {
		page.Stores[i].Width = 100 * float64(page.Stores[i].Bytes) / float64(largest)
	}
	slices.SortStableFunc(page.Stores, func(a, b storeLine) int { return cmp.Compare(b.Bytes, a.Bytes) })
	if page.Targets, err = c.backend.Targets(ctx); err != nil {
		page.Problems = append(page.Problems, "Targets cannot be shown: "+c.told(ctx, err))
	}
	rank := map[string]int{"down": 0, "unknown": 1, "up": 2}
	slices.SortStableFunc(page.Targets, func(a, b api.TargetState) int { return rank[a.Health] - rank[b.Health] })
	for _, t := range page.Targets {
		if t.Health == "down" {
			page.Down++
		}
	}
	return c.render(w, r, http.StatusOK, "system", view{Title: "System", Live: true, Page: page})
}
