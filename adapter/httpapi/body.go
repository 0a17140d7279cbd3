package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/gatehouse/gatehouse"
)

// firstRead is how much of a body is given memory before it has come.
const firstRead = 16 << 10

// readBody reads the request's body, at most limit bytes. The server's timeout
// for the whole request bounds how long it may take to come.
func (c *call) readBody(limit int64) ([]byte, error) {
	r := c.r
	if r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, errBody(limit)
	}
	in := http.MaxBytesReader(c.w, r.Body, limit)
	size := r.ContentLength // -1: chunked
	if size < 0 || size > firstRead {
		size = firstRead
	}
	body := make([]byte, 0, size)
	for {
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF { //nolint:errorlint // Read returns it bare
			return body, nil
		}
		if err != nil {
			return nil, bodyError(err, limit)
		}
		if len(body) < cap(body) {
			continue
		}
		if int64(len(body)) == r.ContentLength {
			return body, nil // nothing follows
		}
		body = grow(body, r.ContentLength)
	}
}

// grow doubles the room of body, but not beyond a length that is known.
func grow(body []byte, length int64) []byte {
	size := int64(2 * cap(body))
	if length > 0 && size > length {
		size = length
	}
	return append(make([]byte, 0, size), body...)
}

func errBody(limit int64) error {
	return gatehouse.Errorf(gatehouse.TooLarge, "the body is larger than %d bytes, the most this listener takes; send less, or a batch in parts", limit)
}

func bodyError(err error, limit int64) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return errBody(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return gatehouse.Errorf(gatehouse.Invalid, "the body did not arrive in time; send it faster or in smaller parts")
	case errors.Is(err, context.Canceled):
		return err
	}
	return gatehouse.Errorf(gatehouse.Invalid, "the body could not be read: it is cut short or malformed")
}
