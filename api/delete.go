package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/fairwaycd/fairway"
)

// Delete asks to delete a service, or, without a service, a project.
type Delete struct {
	Project     fairway.ProjectName `json:"project"`
	Service     fairway.ServiceName `json:"service,omitempty"`
	KeepRunning bool                `json:"keepRunning,omitempty"` // versions and their traffic stay
	DryRun      bool                `json:"dryRun,omitempty"`
	Reason      string              `json:"reason,omitempty"`
	// Version, when not empty, is that of a [Deletion] that was looked at:
	// the request is refused when something else would go by now.
	Version string `json:"version,omitempty"`
}

// Deletion is what goes, or has gone.
type Deletion struct {
	Project     fairway.ProjectName `json:"project"`
	Service     fairway.ServiceName `json:"service,omitempty"`
	KeepRunning bool                `json:"keepRunning,omitempty"`
	Services    []ServiceDeletion   `json:"services"`
	Git         string              `json:"git,omitempty"` // the project's repository
	Version     string              `json:"version"`
	// Done is false in a dry run, and as long as something is left: asking
	// again waits on.
	Done   bool   `json:"done"`
	Reason string `json:"reason,omitempty"`
}

// ServiceDeletion is what goes of one service.
type ServiceDeletion struct {
	Service    fairway.ServiceName `json:"service"`
	Stages     []fairway.StageName `json:"stages"`
	Running    []RunningVersion    `json:"running"`
	Deliveries []fairway.Delivery  `json:"deliveries"`           // under way, which are aborted
	Repository string              `json:"repository,omitempty"` // of images
	Tags       int                 `json:"tags"`                 // images in it
	Ended      int                 `json:"ended"`                // deliveries that stay listed
}

// RunningVersion is a version that runs.
type RunningVersion struct {
	Stage  fairway.StageName `json:"stage"`
	Place  fairway.Place     `json:"place"`
	Tag    string            `json:"tag"`
	Weight int               `json:"weight"` // percent of the traffic
}

func (s *server) delete(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "keepRunning", "dryRun", "reason")
	if err != nil {
		return err
	}
	version, err := tagOf(r.Header.Get("If-Match"))
	if err != nil {
		return err
	}
	d := Delete{
		Project: fairway.ProjectName(r.PathValue("project")), Service: fairway.ServiceName(r.PathValue("s")),
		KeepRunning: q.flag("keepRunning"), DryRun: q.flag("dryRun"), Reason: q.text("reason"),
		Version: version,
	}
	if err := q.err(); err != nil {
		return err
	}
	done, err := s.b.Delete(r.Context(), d)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(done.Version))
	status := http.StatusOK
	if !done.Done && !d.DryRun {
		status = http.StatusAccepted
	}
	return writeJSON(w, status, done)
}

// tagOf reads the entity tag of a header; none is "".
func tagOf(header string) (string, error) {
	if header == "" {
		return "", nil
	}
	tag, err := strconv.Unquote(header)
	if err != nil {
		return "", withStatus(http.StatusBadRequest, fairway.Invalid("If-Match", header, "is not one entity tag", `send what the dry run's ETag says, such as "4f1c2d9e0b7a8c35"`))
	}
	return tag, nil
}

// Delete implements [Backend].
func (c *Client) Delete(ctx context.Context, r Delete) (Deletion, error) {
	k := call{method: http.MethodDelete, path: []string{"projects", string(r.Project)}, query: filled("reason", r.Reason)}
	if r.Service != "" {
		k.path = append(k.path, "services", string(r.Service))
	}
	if r.KeepRunning {
		k.query.Set("keepRunning", "true")
	}
	if r.DryRun {
		k.query.Set("dryRun", "true")
	}
	if r.Version != "" {
		k.header = http.Header{"If-Match": {strconv.Quote(r.Version)}}
	}
	return ask[Deletion](ctx, c, k)
}
