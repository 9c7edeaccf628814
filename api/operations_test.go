package api

import (
	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/dora"
)

// operation is what the OpenAPI document says of one method of one path. Its
// summary goes on after "Asks for" or says what is done.
type operation struct {
	path    string // as in server.routes
	method  string
	tag     string
	summary string
	query   string         // names of parameters, which parameters explains
	body    any            // of the type that the handler decodes
	answers map[int]any    // by status; of the type that is answered
	plain   map[int]string // by status: the media type of what is no JSON
}

// listed is a list of that type in [operation.answers]; paged has cursors.
type listed struct {
	of    any
	paged bool
}

// a and l are short for the answers of most operations.
func a(status int, v any) map[int]any { return map[int]any{status: v} }
func l(of any) map[int]any            { return map[int]any{200: listed{of, false}} }
func pages(of any) map[int]any        { return map[int]any{200: listed{of, true}} }

// operations has a line for every method of every route but HEAD. After a
// change run: go test ./api -update.
var operations = []operation{
	{path: "openapi.json", method: "GET", tag: "system", summary: "this document", answers: a(200, Raw{})},
	{path: "status", method: "GET", tag: "system", summary: "health, version, addresses", answers: a(200, Status{})},
	{path: "system", method: "GET", tag: "system", summary: "each part and how it does, queues, storage, retention", answers: a(200, System{})},
	{path: "checks", method: "GET", tag: "system", summary: "ask all that Fairway works with: what works, and what to do where something does not", answers: l(Finding{})},
	{path: "targets", method: "GET", tag: "system", summary: "what is scraped for metrics, and how it went", query: "limit cursor", answers: pages(TargetState{})},
	{path: "routes", method: "GET", tag: "system", summary: "weights in force and what stands behind them", query: "limit cursor", answers: pages(RouteState{})},

	{path: "backup", method: "GET", tag: "system", summary: "the data directory as one file, for fairway restore", query: "secrets", plain: map[int]string{200: "application/gzip"}},
	{path: "subscriptions", method: "GET", tag: "events", summary: "who gets events, and how that goes", answers: l(fairway.SubscriptionState{})},
	{path: "subscriptions", method: "POST", tag: "events", summary: "send events that are stored from now on to a URL", body: fairway.Subscription{}, answers: a(201, SubscriptionAdded{})},
	{path: "subscriptions/{id}", method: "DELETE", tag: "events", summary: "send no more", answers: a(200, fairway.Subscription{})},
	{path: "subscriptions/{id}/secret", method: "POST", tag: "events", summary: "another secret; the former signs too for a day", answers: a(200, SubscriptionAdded{})},
	{path: "subscriptions/{id}/test", method: "POST", tag: "events", summary: "send one event now", answers: a(200, fairway.SubscriptionState{})},
	{path: "subscriptions/{id}/replay", method: "POST", tag: "events", summary: "send again what was laid aside, or what is stored since a time", body: ReplaySubscription{}, answers: a(202, fairway.SubscriptionState{})},

	{path: "projects", method: "GET", tag: "projects", summary: "projects with shipyard and services", query: "limit cursor", answers: pages(Project{})},
	{path: "projects", method: "POST", tag: "projects", summary: "a new project", body: CreateProject{}, answers: map[int]any{201: Project{}, 200: Project{}}},
	{path: "projects/{project}", method: "GET", tag: "projects", summary: "one project", answers: a(200, Project{})},
	{path: "projects/{project}", method: "PUT", tag: "projects", summary: "another shipyard for a project", body: UpdateProject{}, answers: a(200, ProjectUpdate{})},
	{path: "projects/{project}", method: "DELETE", tag: "projects", summary: "the end of a project", query: "keepRunning dryRun reason", answers: map[int]any{200: Deletion{}, 202: Deletion{}}},
	{path: "projects/{project}/upstream", method: "GET", tag: "projects", summary: "the remote that the project is kept in step with, and how it stands", answers: a(200, fairway.UpstreamState{})},
	{path: "projects/{project}/upstream", method: "PUT", tag: "projects", summary: "a remote that the project is kept in step with", body: ConfigureUpstream{}, answers: a(200, fairway.UpstreamState{})},
	{path: "projects/{project}/upstream", method: "DELETE", tag: "projects", summary: "forget the remote and its secrets", answers: a(200, Project{})},
	{path: "projects/{project}/upstream/sync", method: "POST", tag: "projects", summary: "look at the remote now", body: SyncUpstream{}, answers: a(200, fairway.UpstreamState{})},

	{path: "board", method: "GET", tag: "services", summary: "services with their stages, what is on its way, and what needs people first", query: "project search state after limit", answers: a(200, Board{})},
	{path: "projects/{project}/commits/{commit}", method: "GET", tag: "projects", summary: "what a commit changed, file by file", answers: a(200, CommitDiff{})},
	{path: "projects/{project}/commits", method: "GET", tag: "projects", summary: "commits of a branch, the newest first", query: "branch before limit", answers: a(200, CommitPage{})},
	{path: "projects/{project}/dora", method: "GET", tag: "projects", summary: "the four figures of delivery of all services of a project", query: "since", answers: a(200, dora.Figures{})},
	{path: "projects/{project}/services/{s}/dora", method: "GET", tag: "services", summary: "the four figures of delivery of a service", query: "since", answers: a(200, dora.Figures{})},
	{path: "services", method: "GET", tag: "services", summary: "what lives in each stage of each service", query: "project text stage limit cursor", answers: pages(fairway.ServiceView{})},
	{path: "projects/{project}/services", method: "GET", tag: "services", summary: "the services of a project", query: "text stage limit cursor", answers: pages(fairway.ServiceView{})},
	{path: "projects/{project}/services", method: "POST", tag: "services", summary: "a new service, or its configuration again", body: OnboardService{}, answers: a(200, Onboarded{})},
	{path: "projects/{project}/services/{s}", method: "GET", tag: "services", summary: "one service: what lives in each stage", answers: a(200, fairway.ServiceView{})},
	{path: "projects/{project}/services/{s}", method: "PUT", tag: "services", summary: "a new definition of a service, which is delivered", body: UpdateService{}, answers: a(200, ServiceUpdate{})},
	{path: "projects/{project}/services/{s}", method: "DELETE", tag: "services", summary: "the end of a service", query: "keepRunning dryRun reason", answers: map[int]any{200: Deletion{}, 202: Deletion{}}},
	{path: "projects/{project}/services/{s}/resources", method: "GET", tag: "services", summary: "the files that the PUT replaces, by stage", answers: l(StageResources{})},
	{path: "projects/{project}/services/{s}/route", method: "GET", tag: "services", summary: "weights in each stage", answers: a(200, ServiceRoute{})},
	{path: "projects/{project}/services/{s}/resources", method: "PUT", tag: "services", summary: "replace files of a service", body: AddResources{}, answers: a(200, Added{})},
	{path: "projects/{project}/services/{s}/artifacts", method: "POST", tag: "deliveries", summary: "a delivery of an image", body: SendArtifact{}, answers: a(202, Accepted{})},
	{path: "projects/{project}/services/{s}/rollback", method: "POST", tag: "deliveries", summary: "a released version back", body: Rollback{}, answers: a(202, Accepted{})},
	{path: "projects/{project}/services/{s}/route", method: "PUT", tag: "services", summary: "weights by hand", body: SetRoute{}, answers: a(200, RouteState{})},

	{path: "projects/{project}/monitoring", method: "GET", tag: "monitoring", summary: "the monitoring systems that the project's gates ask", answers: l(Monitoring{})},
	{path: "projects/{project}/monitoring/{k}", method: "GET", tag: "monitoring", summary: "a project's own monitoring system", answers: a(200, Monitoring{})},
	{path: "projects/{project}/monitoring/{k}", method: "PUT", tag: "monitoring", summary: "connect a monitoring system for one project", body: fairway.Connection{}, answers: a(200, Monitoring{})},
	{path: "projects/{project}/monitoring/{k}", method: "DELETE", tag: "monitoring", summary: "forget a project's monitoring system", answers: a(200, Monitoring{})},
	{path: "projects/{project}/monitoring/{k}/check", method: "POST", tag: "monitoring", summary: "ask a project's monitoring system once: what works", answers: l(fairway.Checked{})},
	{path: "projects/{project}/monitoring/{k}/install", method: "POST", tag: "monitoring", summary: "make a Prometheus in the cluster, and connect it to one project", body: InstallMonitoring{}, answers: a(200, Installed{})},
	{path: "monitoring", method: "GET", tag: "monitoring", summary: "connected monitoring systems, without their secrets", answers: l(Monitoring{})},
	{path: "monitoring/{k}", method: "GET", tag: "monitoring", summary: "a monitoring system of all projects", answers: a(200, Monitoring{})},
	{path: "monitoring/{k}", method: "PUT", tag: "monitoring", summary: "connect a monitoring system for all projects without their own", body: fairway.Connection{}, answers: a(200, Monitoring{})},
	{path: "monitoring/{k}", method: "DELETE", tag: "monitoring", summary: "forget a monitoring system", answers: a(200, Monitoring{})},
	{path: "monitoring/{k}/install", method: "POST", tag: "monitoring", summary: "make a Prometheus in the cluster, and connect it", body: InstallMonitoring{}, answers: a(200, Installed{})},
	{path: "monitoring/{k}/check", method: "POST", tag: "monitoring", summary: "ask a monitoring system once: what works", answers: l(fairway.Checked{})},

	{path: "registries", method: "GET", tag: "registries", summary: "registries elsewhere that projects take images from, without their secrets", answers: l(Registry{})},
	{path: "projects/{project}/registries", method: "GET", tag: "registries", summary: "the registries of a project", answers: l(Registry{})},
	{path: "projects/{project}/registries/{name}", method: "PUT", tag: "registries", summary: "have a project take images from a registry", body: AddRegistry{}, answers: a(200, Registry{})},
	{path: "projects/{project}/registries/{name}", method: "DELETE", tag: "registries", summary: "forget a registry and its secrets", answers: a(200, Registry{})},
	{path: "projects/{project}/registries/{name}/check", method: "POST", tag: "registries", summary: "ask a registry once: what works", answers: l(fairway.Checked{})},

	{path: "deliveries", method: "GET", tag: "deliveries", summary: "deliveries, the newest first", query: "project service stage status open limit cursor", answers: pages(fairway.Delivery{})},
	{path: "deliveries/{id}", method: "GET", tag: "deliveries", summary: "one delivery with its steps", answers: a(200, fairway.Delivery{})},
	{path: "deliveries/{id}/events", method: "GET", tag: "deliveries", summary: "all that happened to a delivery", answers: l(fairway.Event{})},
	{path: "deliveries/{id}/logs", method: "GET", tag: "deliveries", summary: "output of a delivery's programs", query: "follow", plain: map[int]string{200: "text/plain"}},
	{path: "deliveries/{id}/commands", method: "POST", tag: "deliveries", summary: "a person's word on a delivery", body: Command{}, answers: a(200, fairway.Delivery{})},
	{path: "deliveries/{id}/retry", method: "POST", tag: "deliveries", summary: "a new delivery of the same image, from the stage where this one stopped", body: RetryRequest{}, answers: a(202, Accepted{})},

	{path: "evaluations", method: "GET", tag: "evaluations", summary: "evaluations, the newest first", query: "project stage service result before limit", answers: a(200, fairway.EvaluationPage{})},
	{path: "evaluations/{id...}", method: "GET", tag: "evaluations", summary: "an evaluation with queries, samples, limits", answers: a(200, fairway.Evaluation{})},
	{path: "evaluations/{id}/invalidate", method: "POST", tag: "evaluations", summary: "say that an evaluation does not count", body: InvalidateEvaluation{}, answers: a(200, fairway.Evaluation{})},
	{path: "reports/{id...}", method: "GET", tag: "evaluations", summary: "a test report", answers: a(200, fairway.TestReport{})},

	{path: "events", method: "GET", tag: "events", summary: "the latest events", query: "project service delivery type after limit cursor", answers: pages(StoredEvent{})},
	{path: "events", method: "POST", tag: "events", summary: "store CloudEvents", body: fairway.Event{}, answers: map[int]any{202: listed{Accepted{}, false}}},
	{path: "watch", method: "GET", tag: "events", summary: "every change, or the selected ones, as server-sent events", query: "project service delivery type", plain: map[int]string{200: "text/event-stream"}},
}

// parameters explains the parameters of queries and paths by name, or by
// route and name where one means something of its own. What is no text has
// its type here.
var parameters = map[string]struct{ text, kind string }{
	"project":     {"Name of a project.", ""},
	"service":     {"Name of a service.", ""},
	"stage":       {"Name of a stage. Of services: those with a version or a delivery in it; of deliveries: those that are there, or ended there.", ""},
	"text":        {"A part of PROJECT/SERVICE, in whatever case.", ""},
	"status":      {"Status of a delivery: running, waiting, finished, failed, rejected, superseded or aborted.", ""},
	"open":        {"Only deliveries that have not ended.", "boolean"},
	"limit":       {"At most this many items.", "integer"},
	"cursor":      {"`next` of the page before. Items that come meanwhile move nothing.", ""},
	"before":      {"`next` of the page before.", ""},
	"after":       {"Only events with a larger number, the oldest first.", "integer"},
	"result":      {"pass, warning, fail, error or not_judged.", ""},
	"delivery":    {"Id of a delivery.", ""},
	"type":        {"Type of an event.", ""},
	"secrets":     {"Take token and credentials along.", "boolean"},
	"follow":      {"Go on with what is written from now on.", "boolean"},
	"keepRunning": {"Versions and their traffic stay.", "boolean"},
	"dryRun":      {"Only say what would go.", "boolean"},
	"reason":      {"Why; it is kept with the event.", ""},
	"id":          {"Id; of a delivery its first characters will do, four at least.", ""},
	"commit":      {"Full hash of a commit.", ""},
	"branch":      {"Branch; main without it.", ""},
	"since":       {"An instant, a day, or a time such as 90d or 12h; 30d without it.", ""},
	"search":      {"Words, each a part of the names of project or service.", ""},
	"state":       {"people, moving, failed or unready.", ""},
	"board after": {"`next` or `previous` of a part.", ""},
	"name":        {"Name of a registry within its project.", ""},
	"kind":        {"Kind of a monitoring system: prometheus or dynatrace.", ""},
}
