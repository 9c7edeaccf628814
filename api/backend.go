package api

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/fairwaycd/fairway"
)

// Backend is what can be asked of Fairway. Errors carry a [fairway.Kind];
// those of [fairway.KindInvalid] list every problem at once, and nothing has
// been changed then.
type Backend interface {
	CreateProject(ctx context.Context, r CreateProject) (Project, error)
	// UpdateProject replaces the shipyard, as a push of it to main does.
	UpdateProject(ctx context.Context, r UpdateProject) (ProjectUpdate, error)
	// Backup writes the data directory as one file; with secrets, token and
	// credentials too.
	Backup(ctx context.Context, secrets bool, w io.Writer) error
	// UpdateService gives a service another definition, which a delivery brings
	// to the stages.
	UpdateService(ctx context.Context, r UpdateService) (ServiceUpdate, error)
	Projects(ctx context.Context) ([]Project, error)
	Project(ctx context.Context, p fairway.ProjectName) (Project, error)
	OnboardService(ctx context.Context, r OnboardService) (Onboarded, error)
	AddResources(ctx context.Context, r AddResources) (Added, error)
	// Resources are the files that AddResources replaces, as they are now.
	Resources(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName) ([]StageResources, error)
	// Delete deletes a service or project, and returns once that is done, or
	// is stored and takes longer than a request may. In a dry run it says
	// what would go. [fairway.KindConflict] when Version is not what it is now.
	Delete(ctx context.Context, r Delete) (Deletion, error)
	// ConfigureUpstream returns once the remote was found to fit, and both
	// are in step or it is known why they are not.
	ConfigureUpstream(ctx context.Context, r ConfigureUpstream) (fairway.UpstreamState, error)
	RemoveUpstream(ctx context.Context, p fairway.ProjectName) (Project, error)
	SyncUpstream(ctx context.Context, r SyncUpstream) (fairway.UpstreamState, error)

	// SendArtifact asks for a delivery and returns once it is stored and
	// decided.
	SendArtifact(ctx context.Context, r SendArtifact) (Accepted, error)
	// SendEvents takes CloudEvents; it returns once they are stored.
	SendEvents(ctx context.Context, events []fairway.Event) ([]Accepted, error)
	// Command is a person's word on a delivery: approve, reject, abort, pause,
	// resume.
	Command(ctx context.Context, r Command) (fairway.Delivery, error)
	// Retry starts a new delivery of the same artifact at the stage where an
	// ended one stopped. One that is under way or has finished is refused.
	Retry(ctx context.Context, r RetryRequest) (Accepted, error)
	// RollbackService brings a released version back: by weights alone while
	// it still runs, else by a delivery in that stage only.
	// [fairway.KindNotFound] lists the versions that there are.
	RollbackService(ctx context.Context, r Rollback) (Accepted, error)
	// SetRoute splits traffic as a person says. It returns once the split is
	// in force; the error says why it was refused.
	SetRoute(ctx context.Context, r SetRoute) (RouteState, error)

	// Services lists all services of a project, or of all projects.
	Services(ctx context.Context, p fairway.ProjectName) ([]fairway.ServiceView, error)
	// ServicePage lists services by project and name, a page at a time.
	ServicePage(ctx context.Context, f ServiceFilter) (ServicePage, error)
	// Deliveries lists the newest first. The next page begins at the
	// [PositionOf] its last one.
	Deliveries(ctx context.Context, f DeliveryFilter) ([]fairway.Delivery, error)
	// Delivery finds a delivery by its id or the beginning of it.
	Delivery(ctx context.Context, id string) (fairway.Delivery, error)
	DeliveryEvents(ctx context.Context, id string) ([]fairway.Event, error)
	Evaluation(ctx context.Context, id string) (fairway.Evaluation, error)
	// Evaluations lists the newest first, in pages.
	Evaluations(ctx context.Context, f fairway.EvaluationFilter) (fairway.EvaluationPage, error)
	// InvalidateEvaluation says that an evaluation is not to be relied on:
	// later ones are not compared with it. The first reason stays.
	InvalidateEvaluation(ctx context.Context, r InvalidateEvaluation) (fairway.Evaluation, error)
	// TestReport returns a report by the name that tests-finished gives in
	// detail.report.
	TestReport(ctx context.Context, id string) (fairway.TestReport, error)
	// Events lists by rising Seq. A limit takes the newest, or the newest
	// before Before, or, with After, the oldest after it, so that a long list
	// can be read in pages in both directions.
	Events(ctx context.Context, f EventFilter) ([]StoredEvent, error)
	Targets(ctx context.Context) ([]TargetState, error)
	Routes(ctx context.Context) ([]RouteState, error)
	// Logs copies the output of the delivery's processes to w, oldest first;
	// with follow it goes on until they have ended or ctx does.
	Logs(ctx context.Context, id string, w io.Writer, follow bool) error
	// Watch calls f after every change, with what is new; it returns when ctx
	// ends, with its error, or when f returns an error, with that. The first
	// call comes at once, without events: from then on no event is missed, so
	// that what is read within or after that call and what Watch brings have
	// no gap between them. f may ask the Backend. While f runs, what is new
	// is gathered for the next call. Events come by rising Seq.
	Watch(ctx context.Context, f func(Change) error) error
	Status(ctx context.Context) (Status, error)
	// Checks looks at every part and asks all that Fairway works with: what
	// works, and what to do where something does not.
	Checks(ctx context.Context) ([]Finding, error)
	monitoring
	subscriptions
	overview
	commits
	figures
	system
	registriesElsewhere
}

// InvalidateEvaluation is a person's word that an evaluation does not count.
type InvalidateEvaluation struct {
	Evaluation string `json:"evaluation"`
	Reason     string `json:"reason"`
}

// CreateProject asks for a new project.
type CreateProject struct {
	Name     fairway.ProjectName `json:"name"`
	File     string              `json:"file,omitempty"` // of the shipyard, for messages
	Shipyard string              `json:"shipyard"`       // the document
	DryRun   bool                `json:"dryRun,omitempty"`
}

// Project is a project as people see it.
type Project struct {
	Name     fairway.ProjectName   `json:"name"`
	Shipyard fairway.Shipyard      `json:"shipyard"`
	Services []fairway.ServiceName `json:"services"`
	Git      string                `json:"git"`    // clone address
	Commit   string                `json:"commit"` // of main
	// Upstream is how the remote stands that it is kept in step with.
	Upstream *fairway.UpstreamState `json:"upstream,omitempty"`
	// Error says why the project cannot be read; all but its name is unknown then.
	Error string `json:"error,omitempty"`
}

// OnboardService asks for a service, or for its configuration again.
type OnboardService struct {
	Project    fairway.ProjectName `json:"project"`
	Service    fairway.ServiceName `json:"service"`
	Values     string              `json:"values"`
	ValuesFile string              `json:"valuesFile,omitempty"` // for messages
	Deployment string              `json:"deployment,omitempty"` // template
	KService   string              `json:"kubernetesService,omitempty"`
	// Resources are perfspec/…, tests/… and jmeter/… files.
	Resources map[string][]byte `json:"resources,omitempty"`
	// Chart are the files of a Helm chart of the service's own, by their paths
	// within it; values are those that differ from its own then.
	Chart map[string][]byte `json:"chart,omitempty"`
	// ImageValues are the paths of the chart's values that take the image and
	// its tag, or the one that takes both; none means that they are looked for.
	ImageValues []string `json:"imageValues,omitempty"`
	// Strategy of a service with a chart; empty means the stages'.
	Strategy fairway.DeploymentStrategy `json:"strategy,omitempty"`
	DryRun   bool                       `json:"dryRun,omitempty"`
}

// Onboarded says what onboarding did.
type Onboarded struct {
	Stages   []fairway.StageName `json:"stages"`
	Warnings []string            `json:"warnings,omitempty"`
	Files    []string            `json:"files,omitempty"` // written or, in a dry run, to be written
	// Delivery is set when the values name an image, which is then delivered.
	Delivery fairway.DeliveryID `json:"delivery,omitempty"`
}

// AddResources replaces files of a service.
type AddResources struct {
	Project fairway.ProjectName `json:"project"`
	Service fairway.ServiceName `json:"service"`
	Stages  []fairway.StageName `json:"stages,omitempty"` // empty means all
	Files   map[string][]byte   `json:"files"`            // perfspec/…, tests/…, jmeter/…
	DryRun  bool                `json:"dryRun,omitempty"`
}

// Added says what was changed.
type Added struct {
	Stages []fairway.StageName `json:"stages"`
	Files  []string            `json:"files"`
}

// SendArtifact asks for a delivery.
type SendArtifact struct {
	Project fairway.ProjectName `json:"project"`
	Service fairway.ServiceName `json:"service"`
	Image   string              `json:"image"`
	Tag     string              `json:"tag"`
	Stage   fairway.StageName   `json:"stage,omitempty"` // to start at; default the first
	// ID makes a repetition of the request find the same delivery.
	ID string `json:"id,omitempty"`
}

// Accepted says what became of an event.
type Accepted struct {
	ID       string             `json:"id"` // of the event
	Delivery fairway.DeliveryID `json:"delivery,omitempty"`
	Reason   string             `json:"reason"`
}

// Command is a person's word on a delivery.
type Command struct {
	Verb     string `json:"verb"` // approve, reject, abort, pause, resume
	Delivery string `json:"delivery"`
	Reason   string `json:"reason"`
}

// RetryRequest asks for a delivery once more.
type RetryRequest struct {
	Delivery string `json:"delivery"`
	Reason   string `json:"reason"`
	// ID makes a repetition of the request find the same delivery.
	ID string `json:"id,omitempty"`
}

// Rollback asks for a version that was released before.
type Rollback struct {
	Project fairway.ProjectName `json:"project"`
	Service fairway.ServiceName `json:"service"`
	Stage   fairway.StageName   `json:"stage"`
	// To is the version's tag; empty means the latest that has not the traffic.
	To     string `json:"to,omitempty"`
	Reason string `json:"reason"`
	// ID makes a repetition of the request find the same delivery.
	ID string `json:"id,omitempty"`
}

// SetRoute asks for a split.
type SetRoute struct {
	Project fairway.ProjectName `json:"project"`
	Service fairway.ServiceName `json:"service"`
	Stage   fairway.StageName   `json:"stage"`
	Weights fairway.Weights     `json:"weights"`         // a colour that is missing gets none
	Force   bool                `json:"force,omitempty"` // also for a version that was turned away
	Reason  string              `json:"reason"`
}

// DeliveryFilter selects deliveries; empty fields select all. Open selects
// those that have not ended. A Limit of 0 leaves the bound to the Backend.
type DeliveryFilter struct {
	Project fairway.ProjectName
	Service fairway.ServiceName
	Stage   fairway.StageName // where it is, or where it ended
	Status  fairway.DeliveryStatus
	Open    bool
	Before  Position // only those behind it
	Limit   int
}

// EventFilter selects events; empty fields select all. A Limit of 0 leaves the
// bound to the Backend.
type EventFilter struct {
	Project  fairway.ProjectName
	Service  fairway.ServiceName
	Delivery fairway.DeliveryID
	Type     string
	After    uint64
	Before   uint64 // 0 means no bound
	Limit    int
}

// StoredEvent is an event with its number in lists.
type StoredEvent struct {
	Seq uint64 `json:"seq"`
	fairway.Event
}

// TargetState is a metrics target and how its last scrape went.
type TargetState struct {
	Job        string            `json:"job"`
	URL        string            `json:"url"`
	Labels     map[string]string `json:"labels"`
	Health     string            `json:"health"` // up, down, unknown
	LastScrape time.Time         `json:"lastScrape"`
	LastError  string            `json:"lastError,omitempty"`
}

// RouteState is a split in force and what stands behind it.
type RouteState struct {
	Namespace fairway.Namespace   `json:"namespace"`
	Service   fairway.ServiceName `json:"service"`
	Host      string              `json:"host"`
	Weights   fairway.Weights     `json:"weights,omitempty"`
	Backends  []fairway.Backend   `json:"backends"`
}

// Change is what Watch reports: the events since the last call.
type Change struct {
	Events []StoredEvent `json:"events"`
	// Progress is the present text of deliveries under way.
	Progress []Progress `json:"progress,omitempty"`
}

// Progress is how far a delivery's present step is.
type Progress struct {
	Delivery fairway.DeliveryID `json:"delivery"`
	Stage    fairway.StageName  `json:"stage"`
	Step     fairway.Step       `json:"step"`
	Text     string             `json:"text"`
}

// Status is the health of Fairway and where it listens.
type Status struct {
	Version    string            `json:"version"`
	Ready      bool              `json:"ready"`
	Trouble    map[string]string `json:"trouble,omitempty"` // part → why it does not work
	Durability string            `json:"durability"`        // power (every write is synced) or process
	Listen     string            `json:"listen"`
	Gateway    string            `json:"gateway"`
	Registry   string            `json:"registry"`
	Data       string            `json:"data"`
	StartedAt  time.Time         `json:"startedAt"`
}

// Details is a problem document (RFC 9457).
type Details struct {
	Type     string            `json:"type"`
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Detail   string            `json:"detail,omitempty"`
	Kind     fairway.Kind      `json:"kind"`
	Problems []fairway.Problem `json:"problems,omitempty"`
}

// Raw is a JSON document that is passed on as it is.
type Raw = json.RawMessage
