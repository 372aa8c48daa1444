// OpenAI's client for JavaScript: text, streams, tools, structured output, errors, cancelling.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = process.env.CONCORDANCE_MODEL;
const client = new OpenAI({ baseURL: `${process.env.CONCORDANCE_URL}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const answer = "The capital of France is Paris.";
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 } },
  required: ["city"],
};
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];

test("text", async () => {
  const completion = await client.chat.completions.create({ model, messages, temperature: 0, max_tokens: 24 });
  assert.equal(completion.choices[0].message.content, answer);
  assert.equal(completion.choices[0].finish_reason, "stop");
});

test("a stream with the client's helper", async () => {
  const stream = client.chat.completions.stream({ model, messages, temperature: 0, max_tokens: 24 });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, answer);
});

test("structured output", async () => {
  const City = z.object({ name: z.string().max(20), is_capital: z.boolean() });
  const completion = await client.chat.completions.parse({
    model,
    messages: [{ role: "user", content: "Describe Paris." }],
    response_format: zodResponseFormat(City, "city"),
    max_tokens: 96,
  });
  assert.equal(typeof completion.choices[0].message.parsed.is_capital, "boolean");
});

test("a tool that the model has to call, whole and in a stream", async () => {
  const body = { model, messages, tools, tool_choice: "required", max_tokens: 96 };
  const whole = await client.chat.completions.create(body);
  const streamed = await client.chat.completions.stream(body).finalChatCompletion();
  for (const { message, finish_reason } of [whole.choices[0], streamed.choices[0]]) {
    assert.equal(finish_reason, "tool_calls");
    assert.equal(message.tool_calls[0].function.name, "get_weather");
    assert.deepEqual(Object.keys(JSON.parse(message.tool_calls[0].function.arguments)), ["city"]);
  }
});

test("a loop with a tool", async () => {
  const runner = client.chat.completions.runTools({
    model: process.env.CONCORDANCE_AGENT,
    messages,
    tools: [
      {
        type: "function",
        function: { name: "get_weather", parameters, parse: JSON.parse, function: ({ city }) => `rain in ${city}` },
      },
    ],
  });
  assert.equal(await runner.finalContent(), "The tool says: rain in Paris");
});

test("the responses API, whole and in a stream", async () => {
  const body = { model, input: messages[0].content, temperature: 0, max_output_tokens: 24 };
  assert.equal((await client.responses.create(body)).output_text, answer);
  assert.equal((await client.responses.stream(body).finalResponse()).output_text, answer);
});

test("errors keep their message", async () => {
  await assert.rejects(client.chat.completions.create({ model, messages, temperature: 7 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.match(error.message, /temperature/);
    return error.param === "temperature";
  });
});

test("a request that is aborted", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 300);
  await assert.rejects(
    client.chat.completions.create({ model, messages, max_tokens: 2000 }, { signal: controller.signal }),
    OpenAI.APIUserAbortError,
  );
});
