# Front connector for Kafka. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := all

VERSION  := 0.1.0
# Variants live side by side: BUILD=build/asan SANITIZER=address,undefined
BUILD    ?= build
CC       ?= cc
PKGS     := rdkafka libcurl avro-c jansson libmicrohttpd openssl
CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wswitch-enum \
            -Wimplicit-fallthrough -Wcast-qual -Wdouble-promotion
HARDEN   := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fno-omit-frame-pointer -fPIE
ifdef SANITIZER
HARDEN   := -fsanitize=$(SANITIZER) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS  += -fsanitize=$(SANITIZER)
else
LDFLAGS  += -pie -Wl,-z,relro,-z,now
endif
REVISION := $(shell git rev-parse --short=10 HEAD 2>/dev/null || echo unknown)
CPPFLAGS += -std=gnu11 -Iconnector -D_GNU_SOURCE
ALL_CFLAGS = $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(HARDEN) $(shell pkg-config --cflags $(PKGS))
LIBS      = $(shell pkg-config --libs $(PKGS)) -lpthread -lm

FLOORS    := base net codec front kafka engine cli
LIB_SRC   := $(foreach f,$(FLOORS),$(wildcard connector/$(f)/*.c connector/$(f)/*/*.c))
LIB_OBJ   := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB       := $(BUILD)/libconnector.a

all: $(BUILD)/front-connector

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/front-connector: $(BUILD)/connector/main.o $(LIB)
	$(CC) $(LDFLAGS) $^ $(LIBS) -o $@

clean:
	rm -rf build

-include $(LIB_OBJ:.o=.d)
.PHONY: all clean
