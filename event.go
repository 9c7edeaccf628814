package fairway

import (
	"encoding/json"
	"time"
)

// Event is a CloudEvent 1.0 with the extension shkeptncontext. It is a fact:
// once stored it never changes.
type Event struct {
	SpecVersion string     `json:"specversion"`
	ID          string     `json:"id"`
	Source      string     `json:"source"`
	Type        string     `json:"type"`
	Time        time.Time  `json:"time"`
	Subject     string     `json:"subject,omitempty"`
	ContentType string     `json:"datacontenttype,omitempty"`
	Context     DeliveryID `json:"shkeptncontext,omitempty"`
	// Reason is the sentence that says why this happened (extension "reason").
	Reason string          `json:"reason,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// Event types with the names that users of the field know.
const (
	TypeNewArtifact          = "sh.keptn.events.new-artifact"
	TypeConfigurationChanged = "sh.keptn.events.configuration-changed"
	TypeDeploymentFinished   = "sh.keptn.events.deployment-finished"
	TypeTestsFinished        = "sh.keptn.events.tests-finished"
	TypeEvaluationDone       = "sh.keptn.events.evaluation-done"
	TypeProblem              = "sh.keptn.events.problem"
)

// Event types of our own, for what has no name in the field.
const (
	TypeDeliveryQueued        = "dev.fairway.delivery.queued"
	TypeDeliverySuperseded    = "dev.fairway.delivery.superseded"
	TypeDeliveryJoined        = "dev.fairway.delivery.joined"
	TypeArtifactIgnored       = "dev.fairway.artifact.ignored"
	TypeDeliveryFinished      = "dev.fairway.delivery.finished"
	TypeDeliveryFailed        = "dev.fairway.delivery.failed"
	TypeDeliveryRejected      = "dev.fairway.delivery.rejected"
	TypeDeliveryAborted       = "dev.fairway.delivery.aborted"
	TypeStepRestarted         = "dev.fairway.step.restarted"
	TypeStageFinished         = "dev.fairway.stage.finished"
	TypeApprovalRequested     = "dev.fairway.approval.requested"
	TypeApprovalGiven         = "dev.fairway.approval.given"
	TypeRouteChanged          = "dev.fairway.route.changed"
	TypeRolledBack            = "dev.fairway.stage.rolledback"
	TypeRollbackFailed        = "dev.fairway.stage.rollbackfailed"
	TypeStopFailed            = "dev.fairway.version.stopfailed"
	TypeVersionStopped        = "dev.fairway.version.stopped"
	TypeVersionDeleted        = "dev.fairway.version.deleted"
	TypeVersionKept           = "dev.fairway.version.kept"
	TypeServiceOnboarded      = "dev.fairway.service.onboarded"
	TypeServiceUpdated        = "dev.fairway.service.updated"
	TypeResourcesChanged      = "dev.fairway.resources.changed"
	TypeDeliveryPaused        = "dev.fairway.delivery.paused"
	TypeDeliveryResumed       = "dev.fairway.delivery.resumed"
	TypeRouteRefused          = "dev.fairway.route.refused"
	TypeRollbackRequested     = "dev.fairway.rollback.requested"
	TypeDrainTimedOut         = "dev.fairway.drain.timedout"
	TypeMonitoringChanged     = "dev.fairway.monitoring.changed"
	TypeRegistryChanged       = "dev.fairway.registry.changed"
	TypeConfigurationPushed   = "dev.fairway.configuration.pushed"
	TypeProjectChanged        = "dev.fairway.project.changed"
	TypeEvaluationInvalidated = "dev.fairway.evaluation.invalidated"
)

// Event types about subscriptions.
const (
	TypeSubscriptionChanged = "dev.fairway.subscription.changed"
	TypeSubscriptionTest    = "dev.fairway.subscription.test"
)

// Event types of a deletion.
const (
	TypeDeletionRequested = "dev.fairway.deletion.requested"
	TypeDeletionFailed    = "dev.fairway.deletion.failed"
	TypeServiceDeleted    = "dev.fairway.service.deleted"
	TypeProjectDeleted    = "dev.fairway.project.deleted"
)

// EventData is the payload of every event of a delivery. Field names are
// those of the system it descends from.
type EventData struct {
	Project            ProjectName        `json:"project"`
	Service            ServiceName        `json:"service"`
	Stage              StageName          `json:"stage,omitempty"`
	Image              string             `json:"image,omitempty"`
	Tag                string             `json:"tag,omitempty"`
	Digest             string             `json:"digest,omitempty"`
	DeploymentStrategy DeploymentStrategy `json:"deploymentstrategy,omitempty"`
	TestStrategy       TestStrategy       `json:"teststrategy,omitempty"`
	Slot               Colour             `json:"slot,omitempty"`
	Commit             string             `json:"commit,omitempty"`
	Attempt            int                `json:"attempt,omitempty"`
	StartedAt          *time.Time         `json:"startedat,omitempty"`
	FinishedAt         *time.Time         `json:"finishedat,omitempty"`
	EvaluationPassed   *bool              `json:"evaluationpassed,omitempty"`
	EvaluationID       string             `json:"evaluationid,omitempty"`
	Result             string             `json:"result,omitempty"`
	Score              *float64           `json:"score,omitempty"`
	Weights            map[Colour]int     `json:"weights,omitempty"`
	Actor              string             `json:"actor,omitempty"`
	Detail             json.RawMessage    `json:"detail,omitempty"`
}
