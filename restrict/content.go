package restrict

import (
	"fmt"
	"strings"

	"github.com/gatehouse/gatehouse"
)

func (c *compiled) checkSize(size int) error {
	if int64(size) <= c.maxSize {
		return nil
	}
	e := gatehouse.Errorf(gatehouse.TooLarge, "restriction %q does not allow messages of more than %d bytes, and this one has %d in body and attributes; send less at once", c.name, c.maxSize, size)
	e.Rule = c.name
	return e
}

func (c *compiled) checkType(contentType string) error {
	if c.types.Match(mediaType(contentType)) {
		return nil
	}
	what := "messages without a content type"
	if contentType != "" {
		what = "content type " + quote(contentType)
	}
	return c.refuse(what, fmt.Sprintf("send %.200s", c.typeList))
}

// mediaType returns the media type without parameters, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}
