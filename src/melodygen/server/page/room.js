// A room of the page: set up when it is first opened; what goes wrong in it is said.

export class Room {
  #isOpen = false;

  constructor(player, say) {
    this.player = player;
    this.say = say;
  }

  // What `enter` asks of the server is asked only when the room is first opened.
  async open() {
    if (this.#isOpen) return;
    this.#isOpen = true;
    await this.attempt(() => this.enter());
  }

  async attempt(act) {
    try { await act(); } catch (error) { this.say(error.message, true); }
  }
}
