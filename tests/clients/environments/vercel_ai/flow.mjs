// The core flow of Vercel's AI SDK.  It retries every 429, whatever `x-should-retry` says.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const { ROOT, KEY, EMPTY_KEY, MODEL, PATIENT } = process.env;
const prompt = "How is the weather in Paris?";
const aProvider = (apiKey) => createOpenAICompatible({ name: "forebay", baseURL: `${ROOT}/v1`, apiKey });
const model = aProvider(KEY)(MODEL);
const statusOf = (call) => call.then(() => 200, (error) => error.statusCode ?? error.lastError?.statusCode);

async function chatted() {
  const answer = await generateText({ model, prompt, maxOutputTokens: 9 });
  return { text: answer.text, output_tokens: answer.usage.outputTokens };
}

async function streamed() {
  const pieces = [];
  for await (const piece of streamText({ model, prompt, maxOutputTokens: 9 }).textStream) pieces.push(piece);
  return pieces;
}

async function usedATool() {
  const inputSchema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] });
  const get_weather = tool({ description: "Weather", inputSchema, execute: async () => "sunny" });
  const answer = await generateText({ model, prompt, tools: { get_weather }, stopWhen: stepCountIs(3) });
  const [call] = answer.steps[0].toolCalls;
  return { name: call.toolName, arguments: call.input, text: answer.text };
}

async function retried() {
  const patient = aProvider(KEY)(PATIENT);
  const texts = [];
  for (let i = 0; i < 3; i++) texts.push((await generateText({ model: patient, prompt, maxOutputTokens: 9 })).text);
  return texts;
}

async function cancelled() {
  const controller = new AbortController();
  const { textStream } = streamText({ model, prompt, maxOutputTokens: 3000, abortSignal: controller.signal });
  let read = 0;
  for await (const _ of textStream) if (++read === 3) break;
  controller.abort();
  return read;
}

const refused = { model: aProvider(EMPTY_KEY)(MODEL), prompt, maxRetries: 0 };
const steps = {
  chat: chatted,
  stream: streamed,
  tool: usedATool,
  wrong_key: () => statusOf(generateText({ model: aProvider("sk-wrong")(MODEL), prompt })),
  cancelled: cancelled,
  retried: retried,
  refused_for_ever: () => statusOf(generateText(refused)),
};

// A step that throws has come to nothing; the test that reads the result fails.
const told = {};
for (const [name, step] of Object.entries(steps)) {
  told[name] = await step().catch((error) => (console.error(name, error), null));
}
console.log(JSON.stringify(told));
