package registries

import (
	"slices"

	"github.com/fairwaycd/fairway"
)

// Base returns what the images of the project's services begin with in the
// registry: its host and path, or, where its URL has none, its host and the
// shipyard's registry. KindConflict when both have a path and they differ;
// a shipyard's registry that is the project's name, its default, says nothing.
func Base(r fairway.Registry, y fairway.Shipyard) (string, error) {
	path := r.Path()
	switch {
	case path == "":
		path = y.Registry
	case y.Registry != "" && y.Registry != path && y.Registry != string(r.Project):
		return "", fairway.Errorf(fairway.KindConflict, "the registry's address %s has the path %s, and the shipyard of project %s says registry: %s; write %s://%s, or change the shipyard's registry to %s",
			r.URL, path, r.Project, y.Registry, scheme(r), r.Host(), path)
	}
	return r.Host() + "/" + path, nil
}

func scheme(r fairway.Registry) string {
	if r.Plain() {
		return "http"
	}
	return "https"
}

// Repositories returns the repositories in the registry that belong to the
// services, whose values name the given images: those images, as far as they
// lie in the registry, and for a service without any the base followed by its
// name. Several services may run one image.
func Repositories(r fairway.Registry, base string, services map[fairway.ServiceName][]string) map[string][]fairway.ServiceName {
	out := map[string][]fairway.ServiceName{}
	for s, images := range services {
		var own []string
		for _, image := range images {
			if image = fairway.CanonicalImage(image); r.Covers(image) && !slices.Contains(own, image) {
				own = append(own, image)
			}
		}
		if len(own) == 0 {
			own = []string{base + "/" + string(s)}
		}
		for _, image := range own {
			out[image] = append(out[image], s)
		}
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}
