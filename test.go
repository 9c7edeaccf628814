package fairway

import "time"

// TestReport is what a stage's tests found.
type TestReport struct {
	Strategy TestStrategy `json:"strategy"`
	Passed   bool         `json:"passed"`
	Reason   string       `json:"reason"`          // names the request and the answer when it failed
	Window   Window       `json:"window"`          // from the first request to the last answer
	Checks   []Check      `json:"checks"`          // in the order they ran
	Notes    []string     `json:"notes,omitempty"` // e.g. that there are no test files
}

// Check is one phase of a test: health, functional or performance.
type Check struct {
	Name     string          `json:"name"`
	Passed   bool            `json:"passed"`
	Reason   string          `json:"reason"`
	Users    int             `json:"users,omitempty"`
	Requests int             `json:"requests"`
	Errors   int             `json:"errors"`
	Window   Window          `json:"window"`
	Latency  *LatencySummary `json:"latency,omitempty"`
	Log      string          `json:"log,omitempty"` // the last of what a test program printed
}

// LatencySummary is a distribution of response times in seconds.
type LatencySummary struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// Target is an endpoint that is scraped for metrics.
type Target struct {
	Place   Place       `json:"place"`
	Project ProjectName `json:"project"`
	Address string      `json:"address"` // HOST:PORT
	Path    string      `json:"path"`
	Version string      `json:"version"`
	Run     string      `json:"run"` // RunID, or empty outside a test
	Since   time.Time   `json:"since"`
}
