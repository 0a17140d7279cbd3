package mqttadapter

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
)

// A will is the message that a client leaves behind. While it exists its
// serving does not end.
type will struct {
	serving *serving
	session *gate.Session // open until the will is sent or dropped
	message *gatehouse.Message
	delay   time.Duration
}

// fire sends the will, which passes the gate like any other message. Refusals
// are counted there, and logged here: there is nobody else to tell.
func (w *will) fire() {
	done := func(_ gate.Receipt, err error) {
		if err != nil {
			w.serving.options.Logger.Warn("a will was refused", "endpoint", w.session.Identity().Endpoint, "error", err)
		}
		w.drop()
	}
	if err := w.session.Submit(w.serving.ctx, done, w.message); err != nil {
		w.serving.refused(w.session.Info().Protocol, err)
		done(gate.Receipt{}, err)
	}
}

// drop ends what the will stands on.
func (w *will) drop() {
	w.session.Close()
	w.serving.wills.Done()
}

// refused counts a refusal that the gate does not know of.
func (s *serving) refused(protocol string, err error) {
	if f := s.gate.Events.Refused; f != nil {
		f(protocol, gatehouse.KindOf(err))
	}
}
