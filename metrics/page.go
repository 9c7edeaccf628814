package metrics

import (
	"bytes"
	"context"
	"html/template"
	"net/http"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/util/annotations"
)

// apiTarget is a target as Prometheus' API shows it.
type apiTarget struct {
	DiscoveredLabels   map[string]string `json:"discoveredLabels"`
	Labels             map[string]string `json:"labels"`
	ScrapePool         string            `json:"scrapePool"`
	ScrapeURL          string            `json:"scrapeUrl"`
	GlobalURL          string            `json:"globalUrl"`
	LastError          string            `json:"lastError"`
	LastScrape         time.Time         `json:"lastScrape"`
	LastScrapeDuration float64           `json:"lastScrapeDuration"` // seconds
	Health             string            `json:"health"`
	ScrapeInterval     string            `json:"scrapeInterval"`
	ScrapeTimeout      string            `json:"scrapeTimeout"`
}

func (s *Server) apiTargets(context.Context, *http.Request) (any, annotations.Annotations, error) {
	every := model.Duration(s.opts.ScrapeInterval).String()
	active := []apiTarget{}
	for _, t := range s.Targets() {
		active = append(active, apiTarget{
			DiscoveredLabels: t.Labels, Labels: t.Labels, ScrapePool: t.Pool, ScrapeURL: t.URL, GlobalURL: t.URL,
			LastError: t.LastError, LastScrape: t.LastScrape, LastScrapeDuration: t.Duration.Seconds(),
			Health: t.Health, ScrapeInterval: every, ScrapeTimeout: every,
		})
	}
	return map[string]any{
		"activeTargets": active, "droppedTargets": []apiTarget{},
		"droppedTargetCounts": map[string]int{poolPlaces: 0, poolEndpoints: 0},
	}, nil, nil
}

var targetsTemplate = template.Must(template.New("targets").Funcs(template.FuncMap{
	"clock": func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.UTC().Format("2006-01-02 15:04:05.000 UTC")
	},
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Targets</title>
<style>body{font-family:sans-serif}table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.3em .6em;text-align:left}</style></head>
<body><h1>Targets</h1>
{{if .}}<table><thead><tr><th>Target</th><th>Health</th><th>Version</th><th>Test run</th><th>Scraped at</th><th>Last scrape</th><th>Took</th><th>Error</th></tr></thead><tbody>
{{range .}}<tr><td>{{.Labels.instance}}</td><td>{{.Health}}</td><td>{{.Labels.version}}</td><td>{{.Labels.fairway_run}}</td><td>{{.URL}}</td><td>{{clock .LastScrape}}</td><td>{{.Duration}}</td><td>{{.LastError}}</td></tr>
{{end}}</tbody></table>{{else}}<p>Nothing is scraped.</p>{{end}}
</body></html>
`))

func (s *Server) targetsPage(w http.ResponseWriter, _ *http.Request) {
	var page bytes.Buffer
	if err := targetsTemplate.Execute(&page, s.Targets()); err != nil {
		s.log.Error("the page of targets failed", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes()) // the client has gone
}
