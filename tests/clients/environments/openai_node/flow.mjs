// The core flow of OpenAI's client for Node.
import OpenAI from "openai";

const { ROOT, KEY, EMPTY_KEY, MODEL, PATIENT } = process.env;
const messages = [{ role: "user", content: "How is the weather in Paris?" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", description: "Weather", parameters } }];

const aClient = (apiKey) => new OpenAI({ baseURL: `${ROOT}/v1`, apiKey, maxRetries: 3 });
const client = aClient(KEY);
const chat = (changes = {}) => client.chat.completions.create({ model: MODEL, messages, max_tokens: 9, ...changes });
const statusOf = (call) => call.then(() => 200, (error) => error.status);

async function chatted() {
  const answer = await chat();
  return { text: answer.choices[0].message.content, output_tokens: answer.usage.completion_tokens };
}

async function streamed() {
  const pieces = [];
  for await (const chunk of await chat({ stream: true })) pieces.push(chunk.choices[0].delta.content);
  return pieces;
}

async function usedATool() {
  const { message } = (await chat({ tools, max_tokens: undefined })).choices[0];
  const [call] = message.tool_calls;
  const result = { role: "tool", tool_call_id: call.id, content: "sunny" };
  const final = await chat({ tools, max_tokens: undefined, messages: [...messages, message, result] });
  return { name: call.function.name, arguments: call.function.arguments, text: final.choices[0].message.content };
}

async function retried() {
  const texts = [];
  for (let i = 0; i < 3; i++) texts.push((await chat({ model: PATIENT })).choices[0].message.content);
  return texts;
}

async function cancelled() {
  const stream = await chat({ stream: true, max_tokens: 3000 });
  let read = 0;
  for await (const _ of stream) if (++read === 3) break;
  return read;
}

const steps = {
  chat: chatted,
  stream: streamed,
  tool: usedATool,
  wrong_key: () => statusOf(aClient("sk-wrong").chat.completions.create({ model: MODEL, messages })),
  cancelled: cancelled,
  retried: retried,
  refused_for_ever: () => statusOf(aClient(EMPTY_KEY).chat.completions.create({ model: MODEL, messages })),
};

// A step that throws has come to nothing; the test that reads the result fails.
const told = {};
for (const [name, step] of Object.entries(steps)) {
  told[name] = await step().catch((error) => (console.error(name, error), null));
}
console.log(JSON.stringify(told));
