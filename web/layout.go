package web

import "strings"

// stylesheets are those of every page, in their order: the basics, then what
// single pages have. They are small, and kept by browsers for good.
var stylesheets = []string{"app.css", "board.css", "delivery.css", "manage.css"}

// scripts are those of every page.
var scripts = []string{"live.js", "delivery.js", "form.js"}

// navItem is an entry of the navigation at the top of every page.
type navItem struct {
	Name  string
	Path  string
	under []string // paths of pages that belong to it
}

var navigation = []navItem{
	{Name: "Board", Path: "/"},
	{Name: "Deliveries", Path: "/deliveries", under: []string{"/deliveries", "/evaluations"}},
	{Name: "Projects", Path: "/projects", under: []string{"/projects", "/services"}},
	{Name: "System", Path: "/system", under: []string{"/system"}},
}

// sectionOf names the entry of the navigation that a page belongs to.
func sectionOf(path string) string {
	if path == "/" {
		return navigation[0].Name
	}
	for _, item := range navigation {
		for _, prefix := range item.under {
			if path == prefix || strings.HasPrefix(path, prefix+"/") {
				return item.Name
			}
		}
	}
	return ""
}
