package registries

import (
	"fmt"
	"strings"

	"github.com/fairwaycd/fairway"
)

// harborEvent is what Harbor sends in the format Default; in the format
// CloudEvents event_data is called data.
type harborEvent struct {
	SpecVersion string      `json:"specversion"`
	Type        string      `json:"type"`
	Operator    string      `json:"operator"`
	Default     *harborData `json:"event_data"`
	CloudEvent  *harborData `json:"data"`
}

type harborData struct {
	Resources []struct {
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
	} `json:"resources"`
	Repository struct {
		FullName string `json:"repo_full_name"`
	} `json:"repository"`
}

const harborName = "Harbor"

func readHarbor(r fairway.Registry, n Notification) ([]Push, string, error) {
	var e harborEvent
	if err := decode(n.Body, &e); err != nil {
		return nil, "", err
	}
	data, field := e.Default, "event_data"
	if e.SpecVersion != "" {
		data, field = e.CloudEvent, "data"
	}
	switch {
	case e.Type == "":
		return nil, "", missing("type", harborName)
	case e.Type != "PUSH_ARTIFACT" && e.Type != "harbor.artifact.pushed":
		return nil, "an event " + clip(e.Type) + " is no push", nil
	case data == nil || len(data.Resources) == 0:
		return nil, "", missing(field+".resources", harborName)
	case data.Repository.FullName == "":
		return nil, "", missing(field+".repository.repo_full_name", harborName)
	}
	var out []Push
	for i, one := range data.Resources {
		if one.Tag == "" || strings.Contains(one.Tag, ":") {
			continue // what was pushed without a tag has its digest there
		}
		if one.Digest == "" {
			return nil, "", missing(fmt.Sprintf("%s.resources[%d].digest", field, i), harborName)
		}
		out = append(out, Push{Image: r.Host() + "/" + data.Repository.FullName, Tag: one.Tag, Digest: one.Digest, Actor: e.Operator})
	}
	return out, "what was pushed has no tag", nil
}

// clip bounds a text of others.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "")
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
