package scwfake

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The page size if the client names none, and the largest one. 50 is recorded for
// the Instance API.
const (
	defaultPageSize  = 20
	instancePageSize = 50
	maxPageSize      = 100
)

// get reads one resource: the one that the parameter of the path names.
func get[T resource](c *call, s *store[T], parameter string) (T, error) {
	item, err := s.find(c.place(), c.values[parameter])
	if err != nil {
		return item, err
	}
	observe(c.api, item)
	// The transition may have removed the resource.
	return s.find(c.place(), c.values[parameter])
}

// selected reads the resources of the place that pass the filter, sorted by order_by,
// or from the oldest to the youngest.
func selected[T resource](c *call, s *store[T], keep func(T) bool) []T {
	inPlace := func(item T) bool { return item.core().place == c.place() && keep(item) }
	observe(c.api, s.where(inPlace)...)
	items := s.where(inPlace)
	sortBy(items, c.query.Get("order_by"))
	return items
}

// sortBy sorts by created_at, updated_at or name, each with _asc or _desc.
// Other orders leave the items as they are.
func sortBy[T resource](items []T, order string) {
	field, descending := strings.CutSuffix(order, "_desc")
	field = strings.TrimSuffix(field, "_asc")
	slices.SortStableFunc(items, func(x, y T) int {
		a, b, result := x.core(), y.core(), 0
		switch field {
		case "created_at":
			result = a.created.Compare(b.created)
		case "updated_at":
			result = a.updated.Compare(b.updated)
		case "name":
			result = cmp.Compare(a.name, b.name)
		}
		if descending {
			return -result
		}
		return result
	})
}

// page returns the page of the items that the query requests.
func page[T any](query url.Values, items []T, sizeKey string, defaultSize int) (part []T, number, size int) {
	number, size = positive(query.Get("page"), 1), min(positive(query.Get(sizeKey), defaultSize), maxPageSize)
	first := min((number-1)*size, len(items))
	return items[first:min(first+size, len(items))], number, size
}

func positive(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// list is the reply of most APIs: one page, with the number of all items.
func list[T resource](c *call, s *store[T], key string, keep func(T) bool, view func(T) object) object {
	items := selected(c, s, keep)
	part, _, _ := page(c.query, items, "page_size", defaultPageSize)
	return object{key: views(part, view), "total_count": len(items)}
}

// instanceList is the reply of instance/v1, with the number of all items in a
// header.
func instanceList[T resource](c *call, s *store[T], key string, keep func(T) bool, view func(T) object) object {
	return object{key: views(instancePage(c, selected(c, s, keep)), view)}
}

// instancePage returns a page, and sets the headers of instance/v1 for it.
func instancePage[T any](c *call, items []T) []T {
	part, number, size := page(c.query, items, "per_page", instancePageSize)
	c.header.Set("X-Total-Count", strconv.Itoa(len(items)))
	last := max(1, (len(items)+size-1)/size)
	var links []string
	link := func(page int, rel string) {
		// The path begins with the product, and the query ends with "&", as recorded.
		links = append(links, fmt.Sprintf("<%s?page=%d&per_page=%d&>; rel=%q", c.shortPath(), page, size, rel))
	}
	if number > 1 {
		link(1, "first")
		link(number-1, "previous")
	}
	if number < last {
		link(number+1, "next")
		link(last, "last")
	}
	if len(links) > 0 {
		c.header.Set("Link", strings.Join(links, ","))
	}
	return part
}

func views[T any](items []T, view func(T) object) []object {
	all := make([]object, 0, len(items))
	for _, item := range items {
		all = append(all, view(item))
	}
	return all
}

// matches is the filter of most lists: the project, and a part of the name.
func matches(query url.Values, b *base) bool {
	return is(query, "project_id", b.project) && is(query, "project", b.project) &&
		strings.Contains(b.name, query.Get("name"))
}

// hasAnyTag is the filter by tags of vpc, vpc-gw, ipam and block.
func hasAnyTag(query url.Values, b *base) bool {
	wanted := query["tags"]
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(tag string) bool { return slices.Contains(b.tags, tag) })
}

// hasAllTags is the filter by tags of instance: all tags, in one parameter.
func hasAllTags(query url.Values, b *base) bool {
	for _, tag := range strings.FieldsFunc(query.Get("tags"), func(r rune) bool { return r == ',' }) {
		if !slices.Contains(b.tags, tag) {
			return false
		}
	}
	return true
}

// is reports whether the parameter, which may be repeated, is absent or has the
// value at least once.
func is(query url.Values, key, value string) bool {
	wanted := slices.DeleteFunc(slices.Clone(query[key]), func(v string) bool { return v == "" })
	return len(wanted) == 0 || slices.Contains(wanted, value)
}

// isBool is the same for a boolean.
func isBool(query url.Values, key string, value bool) bool {
	return is(query, key, strconv.FormatBool(value))
}
