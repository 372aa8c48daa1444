// Vercel's AI SDK with its providers: text, streams, tools, structured output, errors, cancelling.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";

const name = process.env.CONCORDANCE_MODEL;
const baseURL = `${process.env.CONCORDANCE_URL}/v1`;
const prompt = "What is the capital of France?";
const reasoning = process.env.CONCORDANCE_REASONING; // of gpt-oss
const answer = "The capital of France is Paris.";
const compatible = createOpenAICompatible({
  name: "concordance",
  baseURL,
  apiKey: "none",
  supportsStructuredOutputs: true,
});
const openai = createOpenAI({ baseURL, apiKey: "none" });
const providers = { compatible, chat: openai.chat, responses: openai.responses };
const limits = { temperature: 0, maxOutputTokens: 96, maxRetries: 0 };
const weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string().max(20) }),
  execute: async ({ city }) => `rain in ${city}`,
});

for (const [api, provider] of Object.entries(providers)) {
  test(`${api}: text`, async () => {
    const { text, finishReason } = await generateText({ model: provider(name), prompt, ...limits });
    assert.equal(text, answer);
    assert.equal(finishReason, "stop");
  });

  test(`${api}: a stream`, async () => {
    const { textStream } = streamText({ model: provider(name), prompt, ...limits });
    let text = "";
    for await (const delta of textStream) text += delta;
    assert.equal(text, answer);
  });

  test(`${api}: reasoning`, { skip: !reasoning }, async () => {
    const { reasoningText, text } = await generateText({ model: provider(name), prompt, ...limits });
    assert.equal(text, answer);
    if (api === "compatible") assert.equal(reasoningText, reasoning); // OpenAI has none in chat
  });

  test(`${api}: structured output`, async () => {
    const schema = z.object({ name: z.string().max(20), is_capital: z.boolean() });
    const { object } = await generateObject({ model: provider(name), prompt: "Describe Paris.", schema, ...limits });
    assert.equal(typeof object.is_capital, "boolean");
  });

  test(`${api}: a loop with a tool, in a stream`, async () => {
    const { text } = streamText({
      model: provider(process.env.CONCORDANCE_AGENT),
      prompt,
      tools: { get_weather: weather },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    });
    assert.equal(await text, "The tool says: rain in Paris");
  });

  test(`${api}: a tool that the model has to call`, async () => {
    const { toolCalls } = await generateText({
      model: provider(name),
      prompt,
      tools: { get_weather: weather },
      toolChoice: "required",
      ...limits,
    });
    assert.equal(toolCalls[0].toolName, "get_weather");
    assert.deepEqual(Object.keys(toolCalls[0].input), ["city"]);
  });

  test(`${api}: an error keeps its message`, async () => {
    await assert.rejects(generateText({ model: provider(name), prompt, ...limits, temperature: 7 }), /temperature/);
  });

  test(`${api}: a request that is aborted`, async () => {
    const abortSignal = AbortSignal.timeout(300);
    await assert.rejects(generateText({ model: provider(name), prompt: "Count.", maxRetries: 0, abortSignal }));
  });
}
