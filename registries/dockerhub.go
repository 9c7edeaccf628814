package registries

import (
	"encoding/json"
	"strings"

	"github.com/fairwaycd/fairway"
)

// hubEvent is what Docker Hub sends: the push of one tag, without its digest.
// The address for an answer is not called.
type hubEvent struct {
	PushData struct {
		Tag      string      `json:"tag"`
		Pusher   string      `json:"pusher"`
		PushedAt json.Number `json:"pushed_at"`
	} `json:"push_data"`
	Repository struct {
		RepoName string `json:"repo_name"`
	} `json:"repository"`
}

const (
	hubName = "Docker Hub"
	hubHost = "docker.io"
)

func readDockerHub(r fairway.Registry, n Notification) ([]Push, string, error) {
	var e hubEvent
	if err := decode(n.Body, &e); err != nil {
		return nil, "", err
	}
	switch {
	case e.Repository.RepoName == "":
		return nil, "", missing("repository.repo_name", hubName)
	case e.PushData.Tag == "":
		return nil, "", missing("push_data.tag", hubName)
	case r.Host() != hubHost:
		return nil, "", otherHost(r, hubHost)
	}
	name := e.Repository.RepoName
	if !strings.Contains(name, "/") {
		name = "library/" + name
	}
	return []Push{{Image: hubHost + "/" + name, Tag: e.PushData.Tag, ID: e.PushData.PushedAt.String(), Actor: e.PushData.Pusher}}, "", nil
}

func otherHost(r fairway.Registry, host string) error {
	return fairway.Invalid("address", r.Name, "is not the address of a registry at "+host, "send it to the registry that was added for https://"+host)
}
