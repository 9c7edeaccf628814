package registries

import (
	"fmt"
	"mime"
	"strings"

	"github.com/fairwaycd/fairway"
)

// envelope is what CNCF Distribution sends, versions 2 and 3: media type
// application/vnd.docker.distribution.events.v1+json or v2. Distribution sends
// it again until it is taken.
type envelope struct {
	Events *[]struct {
		ID     string `json:"id"`
		Action string `json:"action"`
		Target struct {
			Digest     string `json:"digest"`
			Repository string `json:"repository"`
			Tag        string `json:"tag"`
		} `json:"target"`
		Actor struct {
			Name string `json:"name"`
		} `json:"actor"`
	} `json:"events"`
}

const distributionName = "CNCF Distribution"

func readDistribution(r fairway.Registry, n Notification) ([]Push, string, error) {
	if t, _, err := mime.ParseMediaType(n.Header.Get("Content-Type")); err != nil || t != "application/json" && !strings.HasPrefix(t, "application/vnd.docker.distribution.events.") {
		return nil, "", fairway.Invalid("Content-Type", n.Header.Get("Content-Type"), "is not that of Distribution's events", "see that the notification is one of "+distributionName+" and comes to its address")
	}
	var e envelope
	if err := decode(n.Body, &e); err != nil {
		return nil, "", err
	}
	if e.Events == nil {
		return nil, "", missing("events", distributionName)
	}
	var out []Push
	for i, event := range *e.Events {
		if event.Action != "push" || event.Target.Tag == "" {
			continue // a layer, a manifest without a tag, a pull
		}
		field := fmt.Sprintf("events[%d].target.", i)
		switch {
		case event.Target.Repository == "":
			return nil, "", missing(field+"repository", distributionName)
		case event.Target.Digest == "":
			return nil, "", missing(field+"digest", distributionName)
		}
		out = append(out, Push{Image: r.Host() + "/" + event.Target.Repository, Tag: event.Target.Tag, Digest: event.Target.Digest, ID: event.ID, Actor: event.Actor.Name})
	}
	return out, "no event in it is the push of a tag", nil
}
