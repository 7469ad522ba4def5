// Server-sent events out of a fetched stream: EventSource can send no Authorization header.

/** The events of a response: `{event, data, id}` as they come. */
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  let event = {};
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (unread + value).split(/\r\n|\n|\r(?!$)/);
      unread = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data !== undefined) yield { event: "message", ...event };
          event = event.id === undefined ? {} : { id: event.id };
        } else {
          take(line, event);
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function take(line, event) {
  const [, field, value] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line);
  if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
  else if (field === "event" || field === "id") event[field] = value;
}
