package cloudevents

import (
	"encoding/json"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Request is what a new-artifact event asks for.
type Request struct {
	Project  fairway.ProjectName
	Service  fairway.ServiceName
	Artifact fairway.Artifact
	// Stage is as written, and may be empty. Senders of the system that this
	// event comes from name the stage that the artifact has passed already,
	// not the one to start at.
	Stage fairway.StageName
}

// ArtifactOf returns what an event of [fairway.TypeNewArtifact] asks for. The
// tag may stand beside the image or in it (IMAGE:TAG, IMAGE:TAG@DIGEST).
// Errors are of [fairway.KindInvalid] and list every problem.
func ArtifactOf(e fairway.Event) (Request, error) {
	if e.Type != fairway.TypeNewArtifact {
		return Request{}, fairway.Invalid("type", e.Type, "is not a new artifact's", "send "+fairway.TypeNewArtifact)
	}
	var data struct {
		Project fairway.ProjectName `json:"project"`
		Service fairway.ServiceName `json:"service"`
		Stage   fairway.StageName   `json:"stage"`
		Image   string              `json:"image"`
		Tag     string              `json:"tag"`
		Digest  string              `json:"digest"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return Request{}, fairway.Invalid("data", "", "does not name an artifact: "+err.Error(), `send {"project": …, "service": …, "image": …, "tag": …}`)
	}
	r := Request{Project: data.Project, Service: data.Service, Stage: data.Stage}
	problems := fairway.Problems(r.Project.Validate())
	problems = append(problems, fairway.Problems(r.Service.Validate())...)
	if r.Stage != "" {
		problems = append(problems, fairway.Problems(r.Stage.Validate())...)
	}
	artifact, more := splitArtifact(data.Image, data.Tag, data.Digest)
	problems = append(problems, more...)
	if len(more) == 0 {
		problems = append(problems, fairway.Problems(artifact.Validate())...)
	}
	for i := range problems {
		problems[i].Field = "data." + problems[i].Field
	}
	if err := fairway.InvalidAll(problems); err != nil {
		return Request{}, err
	}
	r.Artifact = artifact
	return r, nil
}

// splitArtifact takes tag and digest from the image where they are not given
// beside it; where both are given they must agree.
func splitArtifact(image, tag, digest string) (fairway.Artifact, []fairway.Problem) {
	var problems []fairway.Problem
	if image == "" {
		problems = append(problems, fairway.Problem{Field: "image", Message: "is missing", Remedy: "name the image's repository, e.g. 127.0.0.1:8080/sockshop/carts"})
	}
	name, inDigest, _ := strings.Cut(image, "@")
	name, inTag := fairway.SplitImage(name)
	switch {
	case tag == "":
		tag = inTag
	case inTag != "" && inTag != tag:
		problems = append(problems, fairway.Problem{Field: "tag", Value: tag, Message: "is not the tag in the image " + image, Remedy: "name the tag once"})
	}
	switch {
	case digest == "":
		digest = inDigest
	case inDigest != "" && inDigest != digest:
		problems = append(problems, fairway.Problem{Field: "digest", Value: digest, Message: "is not the digest in the image " + image, Remedy: "name the digest once"})
	}
	if tag == "" && image != "" {
		problems = append(problems, fairway.Problem{Field: "tag", Message: "is missing, and the image names none", Remedy: "name the tag beside the image, or write IMAGE:TAG"})
	}
	return fairway.Artifact{Image: name, Tag: tag, Digest: digest}, problems
}
