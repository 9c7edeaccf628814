package registries

import (
	"regexp"
	"strings"

	"github.com/fairwaycd/fairway"
)

// gitHubEvent is what GitHub sends as package or registry_package, which have
// the same fields under two names.
type gitHubEvent struct {
	Action          string         `json:"action"`
	Package         *gitHubPackage `json:"package"`
	RegistryPackage *gitHubPackage `json:"registry_package"`
	Sender          struct {
		Login string `json:"login"`
	} `json:"sender"`
}

type gitHubPackage struct {
	Version *struct {
		Version    string `json:"version"` // the manifest's digest
		PackageURL string `json:"package_url"`
		Container  *struct {
			Tag struct {
				Name   string `json:"name"`
				Digest string `json:"digest"`
			} `json:"tag"`
		} `json:"container_metadata"`
	} `json:"package_version"`
}

const (
	gitHubName = "GitHub"
	gitHubHost = "ghcr.io"
)

var wholeDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func readGitHub(r fairway.Registry, n Notification) ([]Push, string, error) {
	var e gitHubEvent
	if err := decode(n.Body, &e); err != nil {
		return nil, "", err
	}
	var p *gitHubPackage
	switch kind := n.Header.Get("X-GitHub-Event"); kind {
	case "package":
		p = e.Package
	case "registry_package":
		p = e.RegistryPackage
	case "":
		return nil, "", missing("X-GitHub-Event", gitHubName)
	default:
		return nil, "an event " + clip(kind) + " tells of no package", nil
	}
	switch {
	case e.Action != "published" && e.Action != "updated":
		return nil, "a package was " + clip(e.Action) + ", not published", nil
	case p == nil || p.Version == nil:
		return nil, "", missing("package.package_version", gitHubName)
	case p.Version.Container == nil:
		return nil, "the package is no container image", nil
	case p.Version.Container.Tag.Name == "":
		return nil, "what was published has no tag", nil
	case r.Host() != gitHubHost:
		return nil, "", otherHost(r, gitHubHost)
	}
	// ghcr.io/OWNER/NAME:TAG, as somebody typed the owner; images are in lower case.
	image, _ := fairway.SplitImage(strings.ToLower(p.Version.PackageURL))
	if !strings.HasPrefix(image, gitHubHost+"/") {
		return nil, "", missing("package.package_version.package_url", gitHubName)
	}
	out := Push{Image: image, Tag: p.Version.Container.Tag.Name, Actor: e.Sender.Login}
	for _, digest := range []string{p.Version.Container.Tag.Digest, p.Version.Version} {
		if wholeDigest.MatchString(digest) {
			out.Digest = digest
			break
		}
	}
	return []Push{out}, "", nil
}
