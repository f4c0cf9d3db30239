// clients.js: ioredis and node-redis against a server, called by test_node.py.
//
//     node clients.js PORT TRACKING [PACKAGE...]     (TRACKING: 0 or 1, whether the server has it)
//
// Each case opens connections of its own and closes them. The output is a line for each case, "ok",
// "not ok" or "skip", then the client and the case; exit code 1 if one failed. A case that hangs is
// ended by its deadline.
'use strict';

const assert = require('node:assert/strict');

const PATIENCE_MS = 20000;
const port = Number(process.argv[2]);
const tracking = process.argv[3] === '1';
const wanted = process.argv.slice(4);
const nodeMajor = Number(process.versions.node.split('.')[0]);
const keys = Array.from({length: 40}, (_, number) => `key:${number}`); // over all cores

/** A promise that is kept once `condition` holds; asked again after each turn of the server. */
async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > end) {
      throw new Error(`${what} does not happen`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Items in the order of their coming, which take(count) waits for. */
class Inbox {
  constructor() {
    this.items = [];
  }

  push(...item) {
    this.items.push(item);
  }

  async take(count) {
    await until(() => this.items.length >= count, `message ${count}, there are ` +
      JSON.stringify(this.items));
    return this.items.splice(0, count);
  }
}

const blockedCount = (text) => Number(/blocked_clients:(\d+)/.exec(text)[1]);
const getCalls = (text) => Number((/cmdstat_get:calls=(\d+)/.exec(text) || [0, 0])[1]);

// ---- ioredis ----

const ioredisCases = {
  async autoPipelining({connect}) {
    const client = connect({enableAutoPipelining: true});
    const answers = await Promise.all(keys.flatMap((key, n) => [client.set(key, n),
      client.get(key)]));
    assert.deepEqual(answers, keys.flatMap((_, n) => ['OK', String(n)]));
    assert.deepEqual(await client.mget(keys), keys.map((_, n) => String(n)));
    await assert.rejects(client.lpush(keys[0], 'x'), /WRONGTYPE/);
  },

  async pipelines({connect}) {
    const client = connect();
    const rows = await client.pipeline().set('a', 1).incr('a').lpush('a', 'x').get('a').exec();
    assert.deepEqual(rows.map((row) => row[1]), ['OK', 2, undefined, '2']);
    assert.match(rows[2][0].message, /WRONGTYPE/);
    const many = client.pipeline();
    for (let n = 0; n < 5000; n++) {
      many.rpush('list', n);
    }
    const lengths = await many.exec();
    assert.deepEqual(lengths.map((row) => row[1]), lengths.map((_, n) => n + 1));
  },

  async transactions({connect}) {
    const client = connect();
    const other = connect();
    const multi = client.multi();
    keys.forEach((key, n) => multi.incrby(key, n));
    assert.deepEqual(await multi.exec(), keys.map((_, n) => [null, n]));
    await client.watch('watched', keys[1]);
    await other.set('watched', 'dirty');
    assert.equal(await client.multi().set(keys[1], 'never').exec(), null);
    assert.equal(await other.get(keys[1]), '1');
    await assert.rejects(client.multi().set('a', 1).call('nope').exec(), /EXECABORT/);
    assert.equal(await other.exists('a'), 0);
  },

  async blocking({connect, info}) {
    const waiters = keys.slice(0, 8).map((key) => connect().blpop(key, 'none', 0));
    await until(async () => blockedCount(await info()) === 8, '8 blocked clients');
    const client = connect();
    for (const key of keys.slice(0, 8)) {
      assert.equal(await client.rpush(key, `to ${key}`), 1);
    }
    assert.deepEqual(await Promise.all(waiters), keys.slice(0, 8).map((key) => [key, `to ${key}`]));
    assert.equal(await client.brpop('none', 0.02), null);
  },

  async pubsub({connect}) {
    const [subscriber, client, inbox] = [connect(), connect(), new Inbox()];
    subscriber.on('message', (channel, text) => inbox.push(channel, text));
    subscriber.on('pmessage', (pattern, channel, text) => inbox.push(pattern, channel, text));
    subscriber.on('smessage', (channel, text) => inbox.push('shard', channel, text));
    assert.equal(await subscriber.subscribe('news', 'sport'), 2);
    for (let n = 0; n < 100; n++) {
      assert.equal(await client.publish(n % 2 ? 'news' : 'sport', n), 1);
    }
    assert.deepEqual(await inbox.take(100),
      Array.from({length: 100}, (_, n) => [n % 2 ? 'news' : 'sport', String(n)]));
    await subscriber.psubscribe('t*');
    assert.equal(await client.publish('topic', 'x'), 1);
    assert.deepEqual(await inbox.take(1), [['t*', 'topic', 'x']]);
    await subscriber.ssubscribe('orders');
    assert.equal(await client.spublish('orders', 'y'), 1);
    assert.deepEqual(await inbox.take(1), [['shard', 'orders', 'y']]);
    assert.equal(await subscriber.unsubscribe('news'), 2);
    assert.equal(await client.publish('news', 'nobody'), 0);
  },

  async streams({connect, info}) {
    const client = connect();
    await client.xgroup('CREATE', 'stream', 'group', '$', 'MKSTREAM');
    const reader = connect().xreadgroup('GROUP', 'group', 'me', 'COUNT', 1, 'BLOCK', 0, 'STREAMS',
      'stream', '>');
    await until(async () => blockedCount(await info()) === 1, 'the reader');
    const id = await client.xadd('stream', '*', 'field', 'value');
    assert.deepEqual(await reader, [['stream', [[id, ['field', 'value']]]]]);
    assert.equal((await client.xpending('stream', 'group'))[0], 1);
    assert.equal(await client.xack('stream', 'group', id), 1);
    assert.deepEqual(await client.xrange('stream', '-', '+'), [[id, ['field', 'value']]]);
  },

  async scanning({connect}) {
    const client = connect({keyPrefix: 'p:'});
    await client.mset(Object.fromEntries(keys.map((key, n) => [key, n])));
    const found = [];
    for await (const batch of client.scanStream({match: 'p:key:*', count: 7})) {
      found.push(...batch);
    }
    assert.deepEqual([...new Set(found)].sort(), keys.map((key) => `p:${key}`).sort());
  },

  async names({connect}) {
    const client = connect({connectionName: 'from-node', db: 3});
    assert.equal(await client.client('GETNAME'), 'from-node');
    assert.match(await client.client('LIST'), /name=from-node .*db=3/);
    assert.equal(await client.hset('hash', {a: 1, b: 2}), 2);
    assert.deepEqual(await client.hgetall('hash'), {a: '1', b: '2'});
  },
};

function ioredisOpener(library) {
  return async (opened) => ({
    connect(options = {}) {
      const client = new library.Redis({port, host: '127.0.0.1', ...options});
      opened.push(() => client.disconnect());
      return client;
    },
    info: async function info() {
      this.asker = this.asker || this.connect();
      return this.asker.info('everything');
    },
    flush: async function flush() {
      await this.connect().flushall();
    },
  });
}

// ---- node-redis ----

const nodeRedisCases = {
  async autoPipelining({connect}) {
    const client = await connect();
    const answers = await Promise.all(keys.flatMap((key, n) => [client.set(key, String(n)),
      client.get(key)]));
    assert.deepEqual(answers, keys.flatMap((_, n) => ['OK', String(n)]));
    assert.deepEqual(await client.mGet(keys), keys.map((_, n) => String(n)));
    await assert.rejects(client.lPush(keys[0], 'x'), /WRONGTYPE/);
  },

  async transactions({connect, library}) {
    const client = await connect();
    const other = await connect();
    let multi = client.multi();
    keys.forEach((key, n) => { multi = multi.incrBy(key, n); });
    assert.deepEqual(await multi.exec(), keys.map((_, n) => n));
    await client.watch(['watched', keys[1]]);
    await other.set('watched', 'dirty');
    await assert.rejects(client.multi().set(keys[1], 'never').exec(), library.WatchError);
    assert.equal(await other.get(keys[1]), '1');
    await assert.rejects(client.multi().set('a', '1').addCommand(['NOPE']).exec());
    assert.equal(await other.exists('a'), 0);
  },

  async blocking({connect, info}) {
    const waiters = await Promise.all(keys.slice(0, 8).map(async (key) => {
      const client = await connect();
      return {reply: client.blPop([key, 'none'], 0)};
    }));
    await until(async () => blockedCount(await info()) === 8, '8 blocked clients');
    const client = await connect();
    for (const key of keys.slice(0, 8)) {
      assert.equal(await client.rPush(key, `to ${key}`), 1);
    }
    const rows = await Promise.all(waiters.map((waiter) => waiter.reply));
    assert.deepEqual(rows.map((row) => ({...row})),
      keys.slice(0, 8).map((key) => ({key, element: `to ${key}`})));
    assert.equal(await client.brPop('none', 0.02), null);
  },

  async pubsub({connect}) {
    const [subscriber, client, inbox] = [await connect(), await connect(), new Inbox()];
    await subscriber.subscribe(['news', 'sport'], (text, channel) => inbox.push(channel, text));
    for (let n = 0; n < 100; n++) {
      assert.equal(await client.publish(n % 2 ? 'news' : 'sport', String(n)), 1);
    }
    assert.deepEqual(await inbox.take(100),
      Array.from({length: 100}, (_, n) => [n % 2 ? 'news' : 'sport', String(n)]));
    await subscriber.pSubscribe('t*', (text, channel) => inbox.push('t*', channel, text));
    assert.equal(await client.publish('topic', 'x'), 1);
    assert.deepEqual(await inbox.take(1), [['t*', 'topic', 'x']]);
    await subscriber.sSubscribe('orders', (text, channel) => inbox.push('shard', channel, text));
    assert.equal(await client.sPublish('orders', 'y'), 1);
    assert.deepEqual(await inbox.take(1), [['shard', 'orders', 'y']]);
    await subscriber.unsubscribe('news');
    assert.equal(await client.publish('news', 'nobody'), 0);
  },

  async streams({connect, info}) {
    const client = await connect();
    await client.xGroupCreate('stream', 'group', '$', {MKSTREAM: true});
    const reader = (await connect()).xReadGroup('group', 'me', {key: 'stream', id: '>'},
      {COUNT: 1, BLOCK: 0});
    await until(async () => blockedCount(await info()) === 1, 'the reader');
    const id = await client.xAdd('stream', '*', {field: 'value'});
    const text = JSON.stringify(await reader);
    assert.ok(text.includes(id) && /"field"[:,]"value"/.test(text), text);
    assert.equal((await client.xPending('stream', 'group')).pending, 1);
    assert.equal(await client.xAck('stream', 'group', id), 1);
    assert.equal((await client.xRange('stream', '-', '+'))[0].id, id);
  },

  async scanning({connect}) {
    const client = await connect();
    await client.mSet(keys.map((key, n) => [key, String(n)]));
    const found = [];
    for await (const batch of client.scanIterator({MATCH: 'key:*', COUNT: 7})) {
      found.push(...batch);
    }
    assert.deepEqual([...new Set(found)].sort(), [...keys].sort());
  },

  async names({connect}) {
    const client = await connect({name: 'from-node', database: 3});
    assert.equal(await client.clientGetName(), 'from-node');
    const row = (await client.clientList()).find((one) => one.name === 'from-node');
    assert.equal(row.db, 3);
    assert.equal(await client.hSet('hash', {a: '1', b: '2'}), 2);
    assert.deepEqual({...await client.hGetAll('hash')}, {a: '1', b: '2'});
    await client.zAdd('zset', [{score: 1.5, value: 'm'}]);
    assert.deepEqual((await client.zRangeWithScores('zset', 0, -1)).map((one) => ({...one})),
      [{value: 'm', score: 1.5}]);
  },

  async clientSideCache({connect, library, info, resp}) {
    if (resp !== 3) {
      return 'the client has it in RESP3 only';
    }
    if (!tracking) {
      return 'no CLIENT TRACKING yet';
    }
    const cache = new library.BasicClientSideCache({ttl: 0, maxEntries: 0});
    const [client, writer] = [await connect({clientSideCache: cache}), await connect()];
    await writer.mSet(keys.map((key) => [key, 'old']));
    const all = (value) => keys.map(() => value);
    const read = () => Promise.all(keys.map((key) => client.get(key)));
    assert.deepEqual(await read(), all('old'));
    const before = getCalls(await info());
    assert.deepEqual(await read(), all('old'));
    assert.equal(getCalls(await info()), before, 'the cache was not used');
    for (const key of keys) {
      await writer.set(key, 'new');
    }
    await client.ping(); // what was sent to this client before is here now
    assert.deepEqual(await read(), all('new'));
    assert.equal(getCalls(await info()), before + keys.length);
    await writer.flushAll();
    await until(async () => (await client.get(keys[0])) === null, 'the end of the cached value');
    assert.deepEqual(await read(), all(null));
    return undefined;
  },
};

function nodeRedisOpener(library, resp) {
  return async (opened) => ({
    library,
    resp,
    async connect(options = {}) {
      // unstableResp3: version 5 gives no promise yet for the form of XREAD's replies in RESP3.
      const client = library.createClient({socket: {port, host: '127.0.0.1'}, RESP: resp,
        unstableResp3: true, ...options});
      client.on('error', () => {});
      await client.connect();
      opened.push(() => client.destroy());
      return client;
    },
    info: async function info() {
      this.asker = this.asker || await this.connect();
      return String(await this.asker.sendCommand(['INFO', 'everything']));
    },
    flush: async function flush() {
      await (await this.connect()).flushAll();
    },
  });
}

// ---- running them ----

const packages = {
  'ioredis-5': {node: 12, load: (library) => [['', ioredisCases, ioredisOpener(library)]]},
  'ioredis-6': {node: 20, load: (library) => [['', ioredisCases, ioredisOpener(library)]]},
  'redis-5': {node: 18, load: (library) => [2, 3].map((resp) =>
    [` RESP${resp}`, nodeRedisCases, nodeRedisOpener(library, resp)])},
  'redis-6': {node: 20, load: (library) => [2, 3].map((resp) =>
    [` RESP${resp}`, nodeRedisCases, nodeRedisOpener(library, resp)])},
};

async function runCase(run, open) {
  const opened = [];
  let timer;
  try {
    const tools = await open(opened);
    await tools.flush();
    for (const name of ['connect', 'info']) {
      tools[name] = tools[name].bind(tools);
    }
    const deadline = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('out of time')), 2 * PATIENCE_MS);
    });
    return await Promise.race([run(tools), deadline]);
  } finally {
    clearTimeout(timer);
    opened.forEach((close) => close());
  }
}

// What a failed case leaves waiting is rejected when its connections close; it is reported already.
process.on('unhandledRejection', () => {});

async function main() {
  let failed = 0;
  for (const [name, {node, load}] of Object.entries(packages)) {
    if (wanted.length > 0 && !wanted.includes(name)) {
      continue;
    }
    if (nodeMajor < node) {
      console.log(`skip ${name}: wants Node.js ${node}`);
      continue;
    }
    for (const [suffix, cases, open] of load(require(name))) {
      for (const [title, run] of Object.entries(cases)) {
        try {
          const reason = await runCase(run, open);
          console.log(reason ? `skip ${name}${suffix} ${title}: ${reason}`
            : `ok ${name}${suffix} ${title}`);
        } catch (error) {
          failed++;
          console.log(`not ok ${name}${suffix} ${title}: ${error.stack}`);
        }
      }
    }
  }
  process.exit(failed === 0 ? 0 : 1);
}

main();
